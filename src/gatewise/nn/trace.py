"""Everything a layer computed on one call: every hidden state, cell state and gate, by step.

Shapes: T steps, N sequences (1 for an unbatched input), H hidden units, P projection (P = H without one); the first
axis L*D is layer, then direction, in the order of h_n. Step axes are input positions, time-major in every case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import RNNBase
from torch.nn.utils.rnn import PackedSequence

from gatewise.cells import Cell, State, Weights
from gatewise.nn.call import Call, hand_back
from gatewise.nn.composite import Run
from gatewise.nn.native import NativeRun
from gatewise.nn.ragged import valid_steps
from gatewise.nn.values import RowValues, values_of_composite, values_of_native
from gatewise.nn.weights import by_meaning, equations_of, in_one_list, names_of_row, num_directions

Direction = Literal["forward", "reverse"]


@dataclass(frozen=True)
class Trace:
    """The states and gates of one call; differentiable where the call was.

    Attributes
    ----------
    hidden : Tensor of shape (L*D, T, N, P)
        h_t, zero past each sequence's end.
    cell : Tensor of shape (L*D, T, N, H) or None
        c_t; None for RNN and GRU.
    gates : dict of str to Tensor of shape (L*D, T, N, H)
        By name in torch's order, after the activation; {} for the RNN.
    output : Tensor or PackedSequence
        What the layer itself returns as output, in the form the input had.
    h_0, h_n : Tensor of shape (L*D, N, P)
    c_0, c_n : Tensor of shape (L*D, N, H) or None
    lengths : Tensor of shape (N,) or None
        None where every sequence has all T steps.
    equations : gatewise.cells.Cell
    num_layers, num_directions : int
    """

    hidden: Tensor
    cell: Tensor | None
    gates: dict[str, Tensor]
    output: Tensor | PackedSequence
    h_0: Tensor
    c_0: Tensor | None
    h_n: Tensor
    c_n: Tensor | None
    lengths: Tensor | None
    equations: Cell
    num_layers: int
    num_directions: int
    _weights: TracedWeights

    def layer(self, index: int, direction: Direction = "forward") -> LayerTrace:
        """Return the part of one layer and direction.

        Raises
        ------
        IndexError
            If there is no such layer or direction.
        """
        if direction not in ("forward", "reverse"):
            raise ValueError(f"direction must be 'forward' or 'reverse', got {direction!r}")
        if not 0 <= index < self.num_layers:
            raise IndexError(f"layer must be between 0 and {self.num_layers - 1}, got {index}")
        if direction == "reverse" and self.num_directions == 1:
            raise IndexError("this layer is not bidirectional and has no 'reverse' direction")
        row = index * self.num_directions + (direction == "reverse")
        return LayerTrace(
            hidden=self.hidden[row],
            cell=None if self.cell is None else self.cell[row],
            gates={name: gate[row] for name, gate in self.gates.items()},
            h_0=self.h_0[row],
            c_0=None if self.c_0 is None else self.c_0[row],
            is_reverse=direction == "reverse",
        )

    def weights(self, index: int) -> Weights:
        """Return the weights of row `index` on the L*D axis, as they were when the trace was made.

        Raises
        ------
        RuntimeError
            If a parameter was changed in place since, for instance by an optimizer's step.
        """
        return self._weights.row(index)

    def valid(self) -> Tensor:
        """Return (T, N) bool: whether step t lies inside sequence n."""
        num_steps, num_sequences = self.hidden.shape[1:3]
        if self.lengths is None:
            return torch.ones(num_steps, num_sequences, dtype=torch.bool)
        return valid_steps(self.lengths, num_steps)

    def detach(self) -> Trace:
        """Return the same values without their autograd graph, which is so let go."""

        def let_go(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.detach()

        return replace(
            self,
            hidden=self.hidden.detach(),
            cell=let_go(self.cell),
            gates={name: gate.detach() for name, gate in self.gates.items()},
            output=_detach(self.output),
            h_0=self.h_0.detach(),
            c_0=let_go(self.c_0),
            h_n=self.h_n.detach(),
            c_n=let_go(self.c_n),
        )


@dataclass(frozen=True)
class LayerTrace:
    """One layer and direction of a `Trace`: the same attributes without the L*D axis."""

    hidden: Tensor  # (T, N, P)
    cell: Tensor | None  # (T, N, H)
    gates: dict[str, Tensor]  # name -> (T, N, H)
    h_0: Tensor  # (N, P)
    c_0: Tensor | None  # (N, H)
    is_reverse: bool


def _detach(output: Tensor | PackedSequence) -> Tensor | PackedSequence:
    return output._replace(data=output.data.detach()) if isinstance(output, PackedSequence) else output.detach()


class TracedWeights(NamedTuple):
    """The weights that a call used, with what tells whether they changed since."""

    flat: tuple[Tensor, ...]  # of all rows of the L*D axis, in torch's order
    versions: tuple[int | None, ...]  # their version counters; a tensor made in inference mode has none
    num_directions: int
    has_bias: bool
    has_projection: bool

    @classmethod
    def of(cls, layer: RNNBase, call: Call) -> TracedWeights:
        """Return the weights of a call of `layer` as they are now."""
        flat = in_one_list(call.weights)
        return cls.of_versions(layer, flat, versions_of(flat))

    @classmethod
    def of_versions(cls, layer: RNNBase, flat: list[Tensor], versions: list[int | None]) -> TracedWeights:
        """Return the weights of a call of `layer` as they were when they had these versions."""
        return cls(tuple(flat), tuple(versions), num_directions(layer), layer.bias, layer.proj_size > 0)

    def row(self, index: int) -> Weights:
        """Return the weights of one row of the L*D axis.

        Raises
        ------
        RuntimeError
            If any weight of the layer was changed in place since.
        """
        per_row = len(self._names(index))
        for number, (now, then) in enumerate(zip(versions_of(self.flat), self.versions, strict=True)):
            if now != then:
                name = self._names(number // per_row)[number % per_row]
                raise RuntimeError(f"{name} was changed after this trace was made; call trace again")
        return by_meaning(list(self.flat[index * per_row :][:per_row]), self.has_bias)

    def _names(self, row: int) -> tuple[str, ...]:
        return names_of_row(row, self.num_directions, self.has_bias, self.has_projection)


def versions_of(*rows: Sequence[Tensor]) -> list[int | None]:
    """Return autograd's counts of the changes made in place to the tensors of some rows, None where it keeps none."""
    versions: list[int | None] = []
    try:
        # Every recorded call comes here; behind kernels a comprehension, a function of its own, takes longer.
        for row in rows:
            for tensor in row:
                versions.append(tensor._version)
        return versions
    except RuntimeError:  # of one made in inference mode; asking first would take twice as long
        return [None if tensor.is_inference() else tensor._version for row in rows for tensor in row]


def trace_of_composite(layer: RNNBase, run: Run) -> Trace:
    """Collect what the composite path computed."""
    rows = values_of_composite(run, equations_of(layer))
    return collect(layer, run.call, run.output, run.final, rows, TracedWeights.of(layer, run.call))


def trace_of_native(layer: RNNBase, run: NativeRun) -> Trace:
    """Collect what the native path computed on a traced run."""
    rows = values_of_native(run.layers, run.call, equations_of(layer), num_directions(layer))
    return collect(layer, run.call, run.output, run.final, rows, TracedWeights.of(layer, run.call))


def collect(
    layer: RNNBase, call: Call, output: Tensor, final: State, rows: list[RowValues], weights: TracedWeights
) -> Trace:
    """Return the trace of a call with these results."""
    equations = equations_of(layer)
    cells = [row.cell for row in rows if row.cell is not None]
    return Trace(
        hidden=_stacked([row.hidden for row in rows]),
        cell=_stacked(cells) if cells else None,
        gates={name: _stacked([row.gates[name] for row in rows]) for name in equations.gate_names},
        output=hand_back(call, output, final)[0],
        h_0=call.initial.hidden,
        c_0=call.initial.cell,
        h_n=final.hidden,
        c_n=final.cell,
        lengths=call.lengths,
        equations=equations,
        num_layers=layer.num_layers,
        num_directions=num_directions(layer),
        _weights=weights,
    )


def _stacked(rows: list[Tensor]) -> Tensor:
    """Stack rows on the new first axis L*D; a single one is not copied."""
    return rows[0].unsqueeze(0) if len(rows) == 1 else torch.stack(rows)
