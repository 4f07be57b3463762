"""``flow.json``: what `gatewise flow` measured on trained networks.

Shapes: K lags, E starting steps, H hidden units, S the size of the state (H, for the LSTM 2H), M exponents. Natural
logarithms. JSON knows no infinity: what is written as null is read back as the field says.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from gatewise.records.schema import MaybeNan, Part

MEASURES = ("gates", "spectrum", "map", "lyapunov", "capacity")  # beside the diagnosis, which is always made

Endless = Annotated[float, BeforeValidator(lambda value: math.inf if value is None else value)]
Lost = Annotated[float, BeforeValidator(lambda value: -math.inf if value is None else value)]


class Remedy(Part):
    """One thing to try (``flow.Advice``)."""

    text: str
    code: str


class FlowDiagnosis(Part):
    """Whether the gradient reaches as far back as the task needs (``flow.diagnose``)."""

    verdict: Literal["HEALTHY", "VANISHING", "EXPLODING", "NON_FINITE"]
    non_finite: str | None  # the first value that is NaN or infinite, in words
    slope: MaybeNan  # log factor per step back
    growth: Endless  # norm at the longest lag over the norm at lag 0
    horizon: int | None  # steps; None where no gradient arrives
    longest_lag: int
    needed_lag: float
    evidence: list[str]
    advice: list[Remedy]


class GradientCurve(Part):
    """The gradient norm by lag (``flow.gradient_by_lag``)."""

    lags: list[int]  # (K,)
    log_norm: list[MaybeNan]  # (K,), NaN where no gradient arrived
    slope: MaybeNan  # log factor per step back
    slope_interval: tuple[MaybeNan, MaybeNan]  # 95 %
    horizon: int | None
    horizon_is_censored: bool


class GradientMap(Part):
    """The gradient norm by the step it starts from and by lag (``flow.gradient_by_lag``, step by step)."""

    steps: list[int]  # (E,) positions, from 0
    lags: list[int]  # (K,)
    log_norm: list[list[MaybeNan]]  # (K, E); NaN where step - lag lies before the first step or nothing arrived


class GateUse(Part):
    """How one gate stands, per unit (``flow.gate_statistics``)."""

    name: str
    mean: list[float]  # (H,)
    low: list[float]  # (H,) share of steps below .1
    high: list[float]  # (H,) share of steps above .9


class BlockSpectrum(Part):
    """One gate's block of W_hh (``flow.recurrent_spectrum``)."""

    block: str
    real: list[float]  # (H,) of the eigenvalues, the largest modulus first
    imaginary: list[float]  # (H,)
    spectral_radius: float
    largest_singular_value: float
    departure_from_normality: float


class LyapunovExponents(Part):
    """The leading exponents along validation sequences (``flow.lyapunov_spectrum``)."""

    state_size: int  # S
    exponents: list[Lost]  # (M,) per step; -inf where a direction is lost or cannot be told from lost
    kaplan_yorke_dimension: MaybeNan


class Capacity(Part):
    """What a straight line reads off the state about earlier inputs (``flow.memory_capacity``)."""

    lags: list[int]  # (K,)
    r_squared: list[float]  # (K,)
    shuffled: float  # the level that chance reaches
    total: float  # steps


class NetworkFlow(Part):
    """All that was measured on one network; None for what was not asked for or cannot be had."""

    cell: str
    seed: int | None  # None for a model that belongs to no run
    path: str  # of the saved model's folder or file
    hidden_size: int
    score: MaybeNan  # on the test data
    solved: bool | None  # None where the task has no goal
    diagnosis: FlowDiagnosis
    gradient: GradientCurve | None = None
    half_life: list[Endless] | None = None  # (H,) steps; None for the RNN
    gates: list[GateUse] | None = None  # [] for the RNN
    spectrum: list[BlockSpectrum] | None = None
    map: GradientMap | None = None
    lyapunov: LyapunovExponents | None = None
    capacity: Capacity | None = None

    @property
    def is_measured(self) -> bool:
        """Whether more than the diagnosis was made of it."""
        return self.gradient is not None

    @property
    def label(self) -> str:
        """How it is called on screen and page."""
        return self.cell if self.seed is None else f"{self.cell} seed {self.seed}"


class FlowMeasures(Part):
    """What one `gatewise flow` measured."""

    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    created: str  # ISO 8601, UTC
    command: str
    gatewise_version: str
    task: str
    description: str
    metric: str
    sequence_length: int
    sequences: int  # validation sequences that were looked at
    needed_lag: int | None
    needed_lag_is_estimated: bool
    networks: list[NetworkFlow]

    model_config = ConfigDict(populate_by_name=True)
