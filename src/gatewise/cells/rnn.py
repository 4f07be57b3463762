"""The vanilla RNN.

References
----------
Elman, J. L. (1990). Finding structure in time. Cognitive Science 14(2). doi:10.1207/s15516709cog1402_1
Le, Q. V., Jaitly, N., Hinton, G. E. (2015). A simple way to initialize recurrent networks of rectified linear units.
arXiv:1504.00941 (the relu variant).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from gatewise.cells.cell import Cell, Gates, State
from gatewise.cells.derivative import Rows, StepDerivative
from gatewise.cells.weights import Weights

Nonlinearity = Literal["tanh", "relu"]


class RNN(Cell):
    """h_t = act(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh) with act = tanh or relu."""

    name = "RNN"
    gate_names = ()
    has_cell_state = False
    memory_gate = None

    def __init__(self, nonlinearity: Nonlinearity = "tanh") -> None:
        self.nonlinearity = nonlinearity

    def step(self, projected: Tensor, previous: State, weights: Weights) -> tuple[State, Gates]:
        """Advance by one step; see `Cell.step`."""
        preactivation = projected + F.linear(previous.hidden, weights.recurrent, weights.recurrent_bias)
        activation = torch.tanh if self.nonlinearity == "tanh" else torch.relu
        return State(activation(preactivation)), {}

    def step_derivative(self, previous: State, state: State, gates: Gates, weights: Weights) -> StepDerivative:
        """J = diag(act'(a)) W_hh, where act' follows from h_t itself: 1 - h^2 for tanh, [h > 0] for relu."""
        h = state.hidden
        # NaN > 0 is false: without the second term a network that broke down would pass for one that is silent.
        slope = 1 - h * h if self.nonlinearity == "tanh" else torch.where(h.isnan(), h, (h > 0).to(h.dtype))
        return StepDerivative(weights, Rows(slope.unsqueeze(-2)))
