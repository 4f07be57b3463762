"""The GRU in torch.nn's form: the reset gate acts on the recurrent product, and z keeps the OLD state.

References
----------
Cho, K., et al. (2014). Learning phrase representations using RNN encoder-decoder for statistical machine translation.
arXiv:1406.1078. There the reset gate multiplies h_{t-1} before the product W_hn; torch (like cuDNN) applies it after,
to W_hn h_{t-1} + b_hn, which needs one matrix product a step.
Chung, J., Gulcehre, C., Cho, K., Bengio, Y. (2014). Empirical evaluation of gated recurrent neural networks on sequence
modeling. arXiv:1412.3555. There z weighs the NEW state; in Cho et al. and in torch it weighs the old one.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from gatewise.cells.cell import Cell, Gates, State
from gatewise.cells.derivative import Rows, StepDerivative
from gatewise.cells.weights import Weights


class GRU(Cell):
    """The hidden state itself is the memory: kept where z is near one, jump-started from n where z is near zero.

    ::

        r, z = sigma(W_i. x_t + b_i. + W_h. h_{t-1} + b_h.)
        n = tanh(W_in x_t + b_in + r * (W_hn h_{t-1} + b_hn))
        h_t = (1 - z) * n + z * h_{t-1}
    """

    name = "GRU"
    gate_names = ("reset_gate", "update_gate", "new_gate")
    has_cell_state = False
    memory_gate = "update_gate"

    def step(self, projected: Tensor, previous: State, weights: Weights) -> tuple[State, Gates]:
        """Advance by one step; see `Cell.step`."""
        x_r, x_z, x_n = projected.chunk(3, dim=-1)
        h_r, h_z, h_n = F.linear(previous.hidden, weights.recurrent, weights.recurrent_bias).chunk(3, dim=-1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + r * h_n)
        h = (1 - z) * n + z * previous.hidden
        return State(h), {"reset_gate": r, "update_gate": z, "new_gate": n}

    def step_derivative(self, previous: State, state: State, gates: Gates, weights: Weights) -> StepDerivative:
        """J = diag(z) + diag((h_{t-1}-n) z(1-z)) W_hz
        + diag((1-z)(1-n^2)) [ diag(r) W_hn + diag((W_hn h_{t-1} + b_hn) r(1-r)) W_hr ].
        """  # noqa: D205 - the docstring is the formula
        r, z, n = (gates[name] for name in self.gate_names)
        W_hn = weights.recurrent.chunk(3)[2]  # noqa: N806 - the paper's letters
        b_hn = None if weights.recurrent_bias is None else weights.recurrent_bias.chunk(3)[2]
        recurrent_n = F.linear(previous.hidden, W_hn, b_hn)
        through_n = (1 - z) * (1 - n * n)
        along_r = through_n * recurrent_n * r * (1 - r)
        along_z = (previous.hidden - n) * z * (1 - z)
        return StepDerivative(weights, Rows(torch.stack([along_r, along_z, through_n * r], dim=-2), kept=z))

    def old_and_new(self, previous: State, gates: Gates) -> tuple[Tensor, Tensor]:
        """h_t = z * h_{t-1} + (1 - z) * n; see `Cell.old_and_new`."""
        z = gates["update_gate"]
        return z * previous.hidden, (1 - z) * gates["new_gate"]
