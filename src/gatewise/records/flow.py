"""``flow.npz``: how far gradient and memory reach, per run, before and after training.

Shapes: K lags, L*D layers times directions, H hidden units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FlowCurve:
    """The gradient norm by lag of one network at one moment (``flow.gradient_by_lag``)."""

    lags: NDArray[np.int64]  # (K,)
    log_norm: Floats  # (L*D, K) natural log, mean over sequences; NaN where no gradient arrived


@dataclass(frozen=True)
class RunFlow:
    """What was measured on one run."""

    cell: str
    seed: int
    before: FlowCurve
    after: FlowCurve
    half_life: Floats | None  # (L*D, H) steps, after training; None for the RNN
