"""One layer on the kernels, run forwards once; whatever enters it is sent back through its steps.

Shapes: T steps, N sequences, I inputs, H hidden units, P projection (P = H without one), D directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gatewise._native import StepShape, WeightGradients, tensor_of
from gatewise.cells import State
from gatewise.nn.call import Call
from gatewise.nn.native.gradients import with_contiguous_rows
from gatewise.nn.native.kernels import forward
from gatewise.nn.native.plan import Plan
from gatewise.nn.ragged import valid_steps
from gatewise.nn.weights import in_one_list


@dataclass(frozen=True)
class Entering:
    """What enters one layer of a stack from outside, by step; zero past each sequence's end."""

    hidden: Tensor  # dL/dy_t, and dL/dh_n at the last processed step (D, T, N, P)
    cell: Tensor | None  # dL/dc_n (D, N, H), LSTM only


@dataclass(frozen=True)
class StateGradients:
    """Total gradients of one layer of a stack, zero past each sequence's end, and what goes on to the layer below."""

    hidden: Tensor  # dL/dh_t (D, T, N, P)
    cell: Tensor | None  # dL/dc_t (D, T, N, H), LSTM only
    cell_adjoint: Tensor | None  # dL/dc_t without the path through h_t of the same step (D, T, N, H)
    input: Tensor  # dL/dx_t (T, N, I)


class NativeStates:
    """One layer of a stack, all its directions, run forwards once.

    Attributes
    ----------
    output : Tensor of shape (T, N, D*P)
        h_t, zero past each sequence's end.
    lengths : Tensor of shape (N,) or None
    """

    def __init__(self, call: Call, inputs: Tensor, number: int) -> None:
        self.lengths = call.lengths
        kind, shape = call.form.kind, StepShape(len(inputs), inputs.shape[1], call.lengths)
        self._plan = Plan(kind, shape, number * kind.num_directions)
        rows = self._plan.rows
        self._weights = tuple(weight.detach().contiguous() for weight in in_one_list(call.weights[rows]))
        initial = call.initial.map(lambda state: state[rows].detach().contiguous())
        self._initial = initial.hidden, initial.cell
        self._inputs = with_contiguous_rows(inputs.detach())
        result = forward(self._plan, self._inputs, *self._initial, self._weights, is_kept=True)
        self.output, self._kept = result.values

    def entering(self, steps: Tensor, final: State) -> Entering:
        """Bring dL/dy_t (T, N, D*P), dL/dh_n and dL/dc_n (D, N, ...) to the steps at which they enter."""
        hidden = torch.stack(steps.chunk(self._plan.kind.num_directions, dim=-1))
        if self.lengths is None:
            hidden[0, -1] += final.hidden[0]
            hidden[1:, 0] += final.hidden[1:]
            return Entering(hidden, final.cell)
        past_end = ~valid_steps(self.lengths, len(self.output)).unsqueeze(-1)
        hidden.masked_fill_(past_end, 0)
        there = self.lengths.nonzero().flatten()
        hidden[0, self.lengths[there] - 1, there] += final.hidden[0, there]
        hidden[1:, 0, there] += final.hidden[1:, there]
        return Entering(hidden, final.cell)

    def send_back(self, entering: Entering) -> StateGradients:
        """Return the total gradients that come of what enters."""
        grad_output = torch.cat(entering.hidden.unbind(0), dim=-1)
        grad_input = torch.empty_like(self._inputs, memory_format=torch.contiguous_format)
        rows = [
            self._backward(d, grad_output, entering.cell, grad_input) for d in range(self._plan.kind.num_directions)
        ]
        hidden = torch.stack([of_hidden for of_hidden, _ in rows])
        cells = [of_cell for _, of_cell in rows if of_cell is not None]
        if not cells:
            return StateGradients(hidden, None, None, grad_input)
        adjoints = [of_cell - self._through_output(d, hidden[d]) for d, of_cell in enumerate(cells)]
        return StateGradients(hidden, torch.stack(cells), torch.stack(adjoints), grad_input)

    def _backward(
        self, d: int, grad_output: Tensor, grad_c_n: Tensor | None, grad_input: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return dL/dh_t (T, N, P) and dL/dc_t (T, N, H); write the direction's part of dL/dx_t."""
        plan, y = self._plan, self.output
        w_ih, w_hh, _, _, w_hr = plan.weights(self._weights, d)
        kernel = plan.kernel(d, y.dtype, self._inputs.shape[-1])
        hidden, cell, _, _ = kernel.backward(
            plan.shape,
            (grad_output, None, None if grad_c_n is None else grad_c_n.contiguous()),
            None,
            self._inputs,
            self._initial,
            (w_ih, w_hh, w_hr),
            y,
            self._kept[d] if self._kept else None,
            grad_input,
            (None, None),
            WeightGradients(),
            wants_hidden=True,
            wants_cell=True,
        )
        return tensor_of(hidden), None if cell is None else tensor_of(cell)

    def _through_output(self, d: int, hidden: Tensor) -> Tensor:
        """Return the part of dL/dc_t that comes through h_t of the same step, for dL/dh_t (T, N, P)."""
        w_hr = self._plan.weights(self._weights, d)[4]
        output_gate, cell = self._kept[d].chunk(5, dim=-1)[3:]
        slope = output_gate * (1 - cell.tanh().square())
        return slope * (hidden if w_hr is None else hidden @ w_hr)
