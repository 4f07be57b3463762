"""The LSTM with forget gate, without peepholes: the form that torch.nn computes.

References
----------
Hochreiter, S., Schmidhuber, J. (1997). Long short-term memory. Neural Computation 9(8). doi:10.1162/neco.1997.9.8.1735
Gers, F. A., Schmidhuber, J., Cummins, F. (2000). Learning to forget: continual prediction with LSTM. Neural Computation
12(10). doi:10.1162/089976600300015015 (the forget gate; the 1997 cell has none and truncates the gradient).
Sak, H., Senior, A., Beaufays, F. (2014). Long short-term memory based recurrent neural network architectures for large
vocabulary speech recognition. arXiv:1402.1128 (the projection).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from gatewise.cells.cell import Cell, Gates, State
from gatewise.cells.derivative import Rows, StepDerivative
from gatewise.cells.weights import Weights


class LSTM(Cell):
    """The cell keeps what the forget gate leaves, adds what the input gate lets in, shows what the output gate passes.

    ::

        i, f, o = sigma(W_i. x_t + b_i. + W_h. h_{t-1} + b_h.)      g = tanh(the same with its own weights)
        c_t = f * c_{t-1} + i * g
        h_t = o * tanh(c_t)            with a projection: h_t = W_hr (o * tanh(c_t))
    """

    name = "LSTM"
    gate_names = ("input_gate", "forget_gate", "cell_gate", "output_gate")
    has_cell_state = True
    memory_gate = "forget_gate"

    def step(self, projected: Tensor, previous: State, weights: Weights) -> tuple[State, Gates]:
        """Advance by one step; see `Cell.step`."""
        preactivation = projected + F.linear(previous.hidden, weights.recurrent, weights.recurrent_bias)
        a_i, a_f, a_g, a_o = preactivation.chunk(4, dim=-1)
        i, f, g, o = torch.sigmoid(a_i), torch.sigmoid(a_f), torch.tanh(a_g), torch.sigmoid(a_o)
        c = f * previous.require_cell() + i * g
        h = o * torch.tanh(c)
        if weights.projection is not None:
            h = F.linear(h, weights.projection)
        return State(h, c), {"input_gate": i, "forget_gate": f, "cell_gate": g, "output_gate": o}

    def step_derivative(self, previous: State, state: State, gates: Gates, weights: Weights) -> StepDerivative:
        """J of s = [h; c]::

            dc/dc = diag(f)
            dc/dh = A = diag(c_{t-1} f(1-f)) W_hf + diag(g i(1-i)) W_hi + diag(i(1-g^2)) W_hg
            dh/dc = diag(o (1-tanh^2 c_t) f)
            dh/dh = diag(tanh(c_t) o(1-o)) W_ho + diag(o (1-tanh^2 c_t)) A

        With a projection the two h rows are multiplied from the left by W_hr.
        """  # noqa: D400 - the docstring is the formula
        i, f, g, o = (gates[name] for name in self.gate_names)
        along_i, along_f, along_g = g * i * (1 - i), previous.require_cell() * f * (1 - f), i * (1 - g * g)
        along_o = torch.tanh(state.require_cell()) * o * (1 - o)
        slope = self.output_slope(state, gates)
        return StepDerivative(
            weights,
            memory=Rows(torch.stack([along_i, along_f, along_g], dim=-2), kept=f),
            output=Rows(
                torch.stack([slope * along_i, slope * along_f, slope * along_g, along_o], dim=-2), kept=slope * f
            ),
        )

    def old_and_new(self, previous: State, gates: Gates) -> tuple[Tensor, Tensor]:
        """c_t = f * c_{t-1} + i * g; see `Cell.old_and_new`."""
        return gates["forget_gate"] * previous.require_cell(), gates["input_gate"] * gates["cell_gate"]

    def output_slope(self, state: State, gates: Gates) -> Tensor:
        """Return o (1 - tanh^2 c_t) (..., H): the slope of o * tanh(c_t) along c_t of the same step."""
        return gates["output_gate"] * (1 - torch.tanh(state.require_cell()) ** 2)
