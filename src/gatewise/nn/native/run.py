"""A whole call on the native path: layer after layer, with torch.nn's dropout between them.

Shapes: T steps, N sequences, I inputs, H hidden units, P projection (P = H without one), L layers, D directions, G
gates; ``rows`` stands for (T, N), and for (R,) where the call is packed.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import RNNBase
from torch.nn import functional as F

from gatewise._native import StepShape
from gatewise.cells import State
from gatewise.nn import ragged
from gatewise.nn.call import Call
from gatewise.nn.native.function import run_layer
from gatewise.nn.native.plan import Plan, Tracing
from gatewise.nn.native.totals import TotalGradients
from gatewise.nn.ragged import reorder
from gatewise.nn.weights import layer_weights


@dataclass(frozen=True)
class LayerValues:
    """What one layer computed; lists hold one entry a direction, and nothing where the cell has none."""

    output: Tensor  # (rows, D*P)
    gates: list[Tensor]  # (rows, G*H)
    cells: list[Tensor]  # (rows, H)


@dataclass(frozen=True)
class NativeRun:
    """What a layer computed on a call."""

    call: Call
    output: Tensor  # (rows, D*P)
    final: State  # hidden (L*D, N, P), cell (L*D, N, H)
    layers: list[LayerValues]  # gates and cells only if the call is traced

    def snapshot(self) -> NativeRun:
        """Return the same values without their autograd graph, copied where the caller has them too and may write."""
        layers = [
            LayerValues(layer.output.detach(), [*map(Tensor.detach, layer.gates)], [*map(Tensor.detach, layer.cells)])
            for layer in self.layers
        ]
        layers[-1] = replace(layers[-1], output=layers[-1].output.clone())
        call = replace(self.call, initial=self.call.initial.map(_copy))
        return NativeRun(call, layers[-1].output, self.final.map(_copy), layers)


def run_native(
    layer: RNNBase, call: Call, *, tracing: Tracing = "none", totals: tuple[TotalGradients, ...] = ()
) -> NativeRun:
    """Compute `call`.

    Parameters
    ----------
    layer : RNNBase
    call : Call
    tracing : {"none", "values", "graph"}
        Whether gates and cell states are wanted, and whether a loss may use them.
    totals : tuple of TotalGradients
        Where backward passes put the total gradients.
    """
    shape, packed = _shape_of(call), call.packed
    initial = call.initial if packed is None else reorder(call.initial, packed.sorted_indices)
    output, layers, hidden, cell = call.data, [], [], []
    for index in range(layer.num_layers):
        if index > 0 and layer.dropout > 0 and layer.training:
            output = _dropout(output, layer.dropout, call)
        plan = Plan.of_layer(layer, index, shape, tracing, totals)
        states = initial if layer.num_layers == 1 else initial.map(operator.itemgetter(plan.rows))
        flat = tuple(layer_weights(layer, plan.rows))
        output, h_n, c_n, gates, cells = run_layer(plan, output, states.hidden, states.cell, flat)
        layers.append(LayerValues(output, gates, cells))
        hidden.append(h_n)
        cell += [] if c_n is None else [c_n]
    final = State(_joined(hidden), _joined(cell) if cell else None)
    return NativeRun(call, output, final if packed is None else reorder(final, packed.unsorted_indices), layers)


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


def _joined(states: list[Tensor]) -> Tensor:
    return states[0] if len(states) == 1 else torch.cat(states)


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone()
