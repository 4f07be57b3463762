"""A whole call on the native path: layer after layer, with torch.nn's dropout between them.

Shapes: T steps, N sequences, I inputs, H hidden units, P projection (P = H without one), L layers, D directions, G
gates; ``rows`` stands for (T, N), and for (R,) where the call is packed.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import NamedTuple
from weakref import ref

import torch
from torch import Tensor
from torch.nn import RNNBase
from torch.nn import functional as F

from gatewise._native import StepShape
from gatewise.cells import State
from gatewise.nn import ragged
from gatewise.nn.call import Call
from gatewise.nn.native.function import run_layer
from gatewise.nn.native.kernels import LayerValues
from gatewise.nn.native.plan import Plan, Tracing
from gatewise.nn.native.totals import TotalGradients
from gatewise.nn.ragged import reorder
from gatewise.nn.weights import in_one_list


class NativeRun(NamedTuple):
    """What a layer computed on a call."""

    call: Call
    output: Tensor  # (rows, D*P)
    final: State  # hidden (L*D, N, P), cell (L*D, N, H)
    layers: list[LayerValues]


def run_native(
    layer: RNNBase, call: Call, *, tracing: Tracing = "none", totals: Sequence[TotalGradients] = ()
) -> NativeRun:
    """Compute `call`.

    Parameters
    ----------
    layer : RNNBase
    call : Call
    tracing : {"none", "values", "graph"}
        Whether gates and cell states are wanted, and whether a loss may use them.
    totals : sequence of TotalGradients
        Where backward passes put the total gradients, as long as the caller keeps it.
    """
    kind, shape, packed = call.form.kind, _shape_of(call), call.packed
    given = call.given if call.given is None or packed is None else reorder(call.given, packed.sorted_indices)
    output, layers, hidden, cell = call.data, [], [], []
    references = tuple(map(ref, totals))
    for index in range(layer.num_layers):
        if index > 0 and layer.dropout > 0 and layer.training:
            output = _dropout(output, layer.dropout, call)
        plan = Plan(kind, shape, index * kind.num_directions, tracing, references)
        h_0, c_0 = (None, None) if given is None else _rows(given, plan.rows)
        output, h_n, c_n, values = run_layer(plan, output, h_0, c_0, tuple(in_one_list(call.weights[plan.rows])))
        layers.append(values)
        hidden.append(h_n)
        cell += [] if c_n is None else [c_n]
    final = State(_joined(hidden), _joined(cell) if cell else None)
    final = final if packed is None else reorder(final, packed.unsorted_indices)
    return NativeRun(call, output, final, layers)


def _shape_of(call: Call) -> StepShape:
    if call.packed is None:
        num_steps, num_sequences, _ = call.data.shape
        return StepShape(num_steps, num_sequences, call.lengths)
    counts, order, lengths = call.packed.batch_sizes, call.packed.sorted_indices, call.require_lengths()
    lengths = lengths if order is None else lengths[order]  # longest first, as they are packed
    return StepShape(len(counts), len(lengths), lengths, counts.cumsum(0) - counts)


def _dropout(values: Tensor, p: float, call: Call) -> Tensor:
    """Drop entries with torch.nn's own mask, which is drawn in packed order."""
    return F.dropout(values, p) if call.packed is not None else ragged.dropout(values, p, call.lengths, None)


def _rows(states: State, rows: slice) -> tuple[Tensor, Tensor | None]:
    """Return the states of some rows of the L*D axis; all of them are not sliced, which takes a microsecond."""
    if rows.stop - rows.start < len(states.hidden):
        states = states.map(operator.itemgetter(rows))
    return states.hidden, states.cell


def _joined(states: list[Tensor]) -> Tensor:
    return states[0] if len(states) == 1 else torch.cat(states)
