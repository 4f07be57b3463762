"""What one layer of the native path computes, beside its tensors."""

from __future__ import annotations

from typing import Literal, NamedTuple
from weakref import ReferenceType

import torch
from torch import Tensor

from gatewise._native import DirectionKernel, StepShape, direction_kernel
from gatewise.cells import State
from gatewise.nn.form import Kind
from gatewise.nn.native.totals import TotalGradients

DirectionWeights = tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None]  # W_ih, W_hh, b_ih, b_hh, W_hr


# Whether gates and cell states are results too: no, as values only, or as nodes of the autograd graph.
Tracing = Literal["none", "values", "graph"]


class Plan(NamedTuple):
    """One layer on one call: what it is, its steps, and what is wanted of it."""

    kind: Kind
    shape: StepShape
    first_row: int  # of the layer on the L*D axis
    tracing: Tracing = "none"
    totals: tuple[ReferenceType[TotalGradients], ...] = ()  # where backward puts them; a graph keeps none alive

    @property
    def rows(self) -> slice:
        """Where the layer stands on the L*D axis."""
        return slice(self.first_row, self.first_row + self.kind.num_directions)

    @property
    def num_weights(self) -> int:
        """How many weight tensors the layer has."""
        return self.kind.num_directions * self.kind.weights_per_direction

    def wanted_totals(self) -> list[TotalGradients]:
        """Return where total gradients go that somebody still wants."""
        return [total for reference in self.totals if (total := reference()) is not None]

    def initial_state(self, x: Tensor, h_0: Tensor | None, c_0: Tensor | None) -> State:
        """Return the states before the first step (D, N, ...), zeros like x where none were given."""
        kind = self.kind
        sequences = kind.num_directions, self.shape.num_sequences
        if h_0 is None:
            h_0 = x.new_zeros(*sequences, kind.state_size)
        if c_0 is None and kind.equations.has_cell_state:
            c_0 = x.new_zeros(*sequences, kind.hidden_size)
        return State(h_0, c_0)

    def weights(self, flat: tuple[Tensor, ...], direction: int) -> DirectionWeights:
        """Return the weights of one direction out of all of the layer's, which stand in torch's order."""
        kind = self.kind
        w_ih, w_hh, *rest = flat[direction * kind.weights_per_direction :][: kind.weights_per_direction]
        w_hr = rest.pop() if kind.proj_size else None
        b_ih, b_hh = rest or (None, None)
        return w_ih, w_hh, b_ih, b_hh, w_hr

    def kernel(self, direction: int, dtype: torch.dtype, input_size: int) -> DirectionKernel:
        """Return the kernels of one direction."""
        kind, (num_steps, num_sequences, *_) = self.kind, self.shape
        sizes = num_steps, num_sequences, input_size, kind.hidden_size, kind.proj_size
        return direction_kernel(kind.mode, direction, dtype, *sizes, torch.get_num_threads())
