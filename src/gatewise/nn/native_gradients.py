"""The total gradient of every state, from what the native kernels compute anyway and at their speed.

A kernel's backward leaves da, the gradient of the preactivations, for every step. One matrix product per layer turns it
into what each step sends back through the weights; the direct path (the LSTM's f, the GRU's z) is added step by step.

Shapes: T steps, N sequences, I inputs, H hidden units, G blocks of H rows in the weights, D directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import RNNBase

from gatewise import _native
from gatewise.cells import State
from gatewise.nn.call import Call
from gatewise.nn.ragged import valid_steps
from gatewise.nn.weights import equations_of, given_weights, num_directions


@dataclass(frozen=True)
class Entering:
    """What enters one layer of a stack from outside, by step; zero past each sequence's end."""

    hidden: Tensor  # dL/dy_t, and dL/dh_n at the last processed step (D, T, N, H)
    cell: Tensor | None  # dL/dc_n (D, N, H), LSTM only


@dataclass(frozen=True)
class StateGradients:
    """Total gradients of one layer of a stack, zero past each sequence's end, and what goes on to the layer below."""

    hidden: Tensor  # dL/dh_t (D, T, N, H)
    cell: Tensor | None  # dL/dc_t (D, T, N, H), LSTM only
    cell_adjoint: Tensor | None  # dL/dc_t without the path through h_t of the same step (D, T, N, H)
    input: Tensor  # dL/dx_t (T, N, I)


class NativeStates:
    """One layer of a stack, all its directions, run forwards once; sends back whatever enters.

    Attributes
    ----------
    output : Tensor of shape (T, N, D*H)
        h_t, zero past each sequence's end.
    """

    def __init__(self, layer: RNNBase, call: Call, inputs: Tensor, number: int) -> None:
        directions = num_directions(layer)
        rows = slice(number * directions, (number + 1) * directions)
        self.mode, self.size, self.lengths = layer.mode, layer.hidden_size, call.lengths
        self.weights = [
            [weight.detach().contiguous() for weight in given_weights(layer, row)]
            for row in range(rows.start, rows.stop)
        ]
        initial = call.initial.map(lambda state: state[rows].detach().contiguous())
        self.initial = initial.hidden, initial.cell
        self.inputs = inputs.detach()
        if self.inputs.stride(-1) != 1:
            self.inputs = self.inputs.contiguous()
        self.output = inputs.new_empty(*inputs.shape[:2], directions * self.size)
        self.kept = [self._forward(direction, equations_of(layer).num_blocks) for direction in range(directions)]

    def _forward(self, direction: int, num_blocks: int) -> tuple[Tensor, Tensor] | None:
        """Run one direction and return what the kernel keeps: gates (T, N, G*H) and, for the LSTM, c (T, N, H)."""
        shape, (h_0, c_0) = self.inputs.shape[:2], self.initial
        w_ih, w_hh, *biases = self.weights[direction]
        b_ih, b_hh = biases or (None, None)
        kept = None
        if not self.mode.startswith("RNN"):
            kept = self.output.new_empty(*shape, num_blocks * self.size), self.output.new_empty(*shape, self.size)
        final = torch.empty_like(h_0), None if c_0 is None else torch.empty_like(c_0)
        weights = (w_ih, w_hh, b_ih, b_hh)
        _native.forward(
            self.mode, direction, self.inputs, self.initial, weights, self.output, final, kept, self.lengths
        )
        return kept

    def entering(self, steps: Tensor, final: State) -> Entering:
        """Bring dL/dy_t (T, N, D*H), dL/dh_n and dL/dc_n (D, N, H) to the steps at which they enter."""
        hidden = torch.stack(steps.chunk(len(self.weights), dim=-1))
        if self.lengths is None:
            hidden[0, -1] += final.hidden[0]
            hidden[1:, 0] += final.hidden[1:]
            return Entering(hidden, final.cell)
        hidden.masked_fill_(self._past_end(), 0)
        there = self.lengths.nonzero().flatten()
        hidden[0, self.lengths[there] - 1, there] += final.hidden[0, there]
        hidden[1:, 0, there] += final.hidden[1:, there]
        return Entering(hidden, final.cell)

    def send_back(self, entering: Entering) -> StateGradients:
        """Return the total gradients that come of what enters."""
        grad_output = torch.cat(entering.hidden.unbind(0), dim=-1)
        rows, grad_input = [], torch.zeros_like(self.inputs)
        for direction, (w_ih, w_hh, *_) in enumerate(self.weights):
            da = self._backward(direction, grad_output, entering.cell)
            # The GRU's da is dn dr dz r*dn: dn dr dz belong to W_ih, whose rows are r z n, and dr dz r*dn to W_hh.
            grad_input += da[..., : len(w_ih)] @ (w_ih.roll(self.size, 0) if self.mode == "GRU" else w_ih)
            rows.append(self._total(direction, entering, da[..., -len(w_hh) :] @ w_hh))
        hidden, cell, cell_adjoint = zip(*rows, strict=True)
        has_cell = self.mode == "LSTM"
        return StateGradients(
            torch.stack(hidden),
            torch.stack(cell) if has_cell else None,
            torch.stack(cell_adjoint) if has_cell else None,
            grad_input,
        )

    def _backward(self, direction: int, grad_output: Tensor, grad_c_n: Tensor | None) -> Tensor:
        """Return da (T, N, G*H), for the GRU (T, N, 4H)."""
        (h_0, c_0), w_hh = self.initial, self.weights[direction][1]
        size = 4 * self.size if self.mode == "GRU" else len(w_hh)
        da = self.output.new_empty(*self.output.shape[:2], size)
        gradients = da, torch.empty_like(h_0), None if c_0 is None else torch.empty_like(c_0)
        cotangents = grad_output, None, None if grad_c_n is None else grad_c_n.contiguous()
        kept = self.kept[direction]
        _native.backward(
            self.mode, direction, cotangents, self.initial, w_hh, self.output, kept, gradients, self.lengths
        )
        return da

    def _total(
        self, direction: int, entering: Entering, through_weights: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return dL/dh_t, dL/dc_t and the latter without h_t of the same step, each (T, N, H).

        through_weights (T, N, H) is what step t sends to the step before it through W_hh.
        """
        is_reverse, past_end = direction == 1, self._past_end()
        hidden = entering.hidden[direction].clone()
        if is_reverse:
            hidden[1:] += through_weights[:-1]  # past the end this is what goes to the initial state
        else:
            hidden[:-1] += through_weights[1:]
        kept = self.kept[direction]
        if kept is None:
            return hidden.masked_fill_(past_end, 0), None, None
        # The kernels write no gates past the end.
        gates, state = (part.masked_fill(past_end, 0) for part in kept)
        if self.mode == "GRU":
            _accumulate(hidden, gates.chunk(3, dim=-1)[1], is_reverse)
            return hidden.masked_fill_(past_end, 0), None, None
        _, forget, _, output_gate = gates.chunk(4, dim=-1)
        hidden.masked_fill_(past_end, 0)
        through_output = output_gate * (1 - state.tanh().square()) * hidden
        cell = through_output.clone()
        if entering.cell is not None:
            self._add_final_cell(cell, entering.cell[direction], is_reverse)
        _accumulate(cell, forget, is_reverse)
        cell.masked_fill_(past_end, 0)
        return hidden, cell, cell - through_output

    def _past_end(self) -> Tensor:
        """Return (T, N, 1) bool, or one False where all sequences have all steps."""
        if self.lengths is None:
            return torch.zeros((), dtype=torch.bool)
        return ~valid_steps(self.lengths, len(self.output)).unsqueeze(-1)

    def _add_final_cell(self, cell: Tensor, final: Tensor, is_reverse: bool) -> None:
        """Add dL/dc_n (N, H) at each sequence's last processed step of (T, N, H)."""
        if self.lengths is None:
            cell[0 if is_reverse else -1] += final
            return
        there = self.lengths.nonzero().flatten()
        ends = torch.zeros_like(there) if is_reverse else self.lengths[there] - 1
        cell[ends, there] += final[there]


def _accumulate(gradient: Tensor, gate: Tensor, is_reverse: bool) -> None:
    """Add to every step, from the last processed one on, gate * gradient of the step processed after it."""
    steps, gates = gradient.unbind(0), gate.unbind(0)
    order = range(len(steps)) if is_reverse else range(len(steps) - 1, -1, -1)
    for after, step in zip(order, list(order)[1:], strict=False):
        steps[step].addcmul_(gates[after], steps[after])
