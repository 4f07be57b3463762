"""What one layer of the native path computes, beside its tensors."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import RNNBase

from gatewise._native import DirectionKernel, StepShape
from gatewise.cells import Cell, State
from gatewise.nn.native.totals import TotalGradients
from gatewise.nn.weights import equations_of, num_directions

DirectionWeights = tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None]  # W_ih, W_hh, b_ih, b_hh, W_hr


# Whether gates and cell states are results too: no, as values only, or as nodes of the autograd graph.
Tracing = Literal["none", "values", "graph"]


class Plan(NamedTuple):
    """One layer: its equations, its sizes, and what is wanted of it."""

    mode: str
    equations: Cell
    num_directions: int  # D
    has_bias: bool
    hidden_size: int  # H
    proj_size: int  # P, 0 for none
    shape: StepShape
    first_row: int  # of the layer on the L*D axis
    tracing: Tracing
    totals: tuple[TotalGradients, ...]  # who wants the total gradients of backward

    @classmethod
    def of_layer(
        cls,
        layer: RNNBase,
        number: int,
        shape: StepShape,
        tracing: Tracing = "none",
        totals: tuple[TotalGradients, ...] = (),
    ) -> Plan:
        """Return the plan of layer `number` of the stack that `layer` is."""
        return cls(
            layer.mode,
            equations_of(layer),
            num_directions(layer),
            layer.bias,
            layer.hidden_size,
            layer.proj_size,
            shape,
            number * num_directions(layer),
            tracing,
            totals,
        )

    @property
    def rows(self) -> slice:
        """Where the layer stands on the L*D axis."""
        return slice(self.first_row, self.first_row + self.num_directions)

    @property
    def state_size(self) -> int:
        """P, or H without a projection."""
        return self.proj_size or self.hidden_size

    @property
    def kept_size(self) -> int:
        """Columns of what forward keeps for backward beside h_t: (G+1)*H, for the RNN nothing."""
        return (self.equations.num_blocks + 1) * self.hidden_size if self.equations.gate_names else 0

    @property
    def weights_per_direction(self) -> int:
        """How many weight tensors a direction has."""
        return (4 if self.has_bias else 2) + (self.proj_size > 0)

    @property
    def num_weights(self) -> int:
        """How many weight tensors the layer has."""
        return self.num_directions * self.weights_per_direction

    def initial_state(self, x: Tensor, h_0: Tensor | None, c_0: Tensor | None) -> State:
        """Return the states before the first step (D, N, ...), zeros like x where none were given."""
        sequences = self.num_directions, self.shape.num_sequences
        if h_0 is None:
            h_0 = x.new_zeros(*sequences, self.state_size)
        if c_0 is None and self.equations.has_cell_state:
            c_0 = x.new_zeros(*sequences, self.hidden_size)
        return State(h_0, c_0)

    def weights(self, flat: tuple[Tensor, ...], direction: int) -> DirectionWeights:
        """Return the weights of one direction out of all of the layer's, which stand in torch's order."""
        w_ih, w_hh, *rest = flat[direction * self.weights_per_direction :][: self.weights_per_direction]
        w_hr = rest.pop() if self.proj_size else None
        b_ih, b_hh = rest or (None, None)
        return w_ih, w_hh, b_ih, b_hh, w_hr

    def kernel(self, direction: int, dtype: torch.dtype, input_size: int) -> DirectionKernel:
        """Return the kernels of one direction."""
        return DirectionKernel(self.mode, direction, dtype, self.shape, input_size, self.hidden_size, self.proj_size)
