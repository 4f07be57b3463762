"""Signs in a layer's own weights and states that say why a gradient vanishes or explodes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import RNNBase

from gatewise.flow.steps import lengths_of
from gatewise.nn.composite import Run
from gatewise.nn.ragged import valid_steps
from gatewise.nn.weights import equations_of, weights_of


@dataclass(frozen=True)
class Signs:
    """What one layer and direction shows on the sequences it was run on.

    Attributes
    ----------
    activation_slope : float
        RNN: mean of act'(a), 1 - h^2 for tanh, the share of active units for relu; near 0 the units are saturated or
        dead. NaN for gated cells.
    recurrent_norm : float
        RNN: largest singular value of W_hh. Below 1 a tanh network must vanish. NaN for gated cells.
    memory_gate : float
        LSTM: mean forget gate; GRU: mean update gate. NaN for the RNN.
    """

    activation_slope: float
    recurrent_norm: float
    memory_gate: float


def signs_of(layer: RNNBase, run: Run, index: int) -> Signs:
    """Read the signs of row `index`."""
    row, equations = run.directions[index], equations_of(layer)
    valid = valid_steps(lengths_of(run), len(row.states))
    if equations.memory_gate is not None:
        gate = torch.stack([gates[equations.memory_gate].detach().cpu() for gates in row.gates])
        return Signs(math.nan, math.nan, float(gate[valid].mean()))
    hidden = torch.stack([state.hidden.detach().cpu() for state in row.states])[valid]
    slope = 1 - hidden.square() if layer.mode == "RNN_TANH" else (hidden > 0).double()
    recurrent = weights_of(layer, index).recurrent.detach()
    is_finite = bool(recurrent.isfinite().all())
    norm = float(torch.linalg.matrix_norm(recurrent, 2)) if is_finite else math.nan
    return Signs(float(slope.mean()), norm, math.nan)
