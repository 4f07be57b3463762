"""A recorded call on the native path: kept as it is until somebody reads it.

What a recording does at every step should take no time: copies, and the form of a trace, wait until they are asked for.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import RNNBase

from gatewise.cells import State
from gatewise.nn.call import Call
from gatewise.nn.native import LayerValues, NativeRun, TotalGradients
from gatewise.nn.ragged import last_states
from gatewise.nn.recorded_call import RecordedCall
from gatewise.nn.recorded_gradients import KernelGradients, RecordedGradients
from gatewise.nn.trace import Trace, TracedWeights, collect, versions_of
from gatewise.nn.values import RowValues, values_of_native
from gatewise.nn.weights import equations_of, in_one_list, num_directions


class NativeCall(RecordedCall):
    """A call on the native path.

    Parameters
    ----------
    layer : RNNBase
    run : NativeRun
        Traced as "values", if they are kept.
    has_values : bool
        Keep states and gates.
    totals : TotalGradients or None
        Where backward passes put the total gradients.
    """

    def __init__(self, layer: RNNBase, run: NativeRun, has_values: bool, totals: TotalGradients | None) -> None:
        call = run.call
        self._totals, self._has_graph, self._form = totals, run.output.requires_grad, call.form
        self._packed = None if call.packed is None else call.packed._replace(data=call.data.new_empty(0))
        self._has_values = has_values
        if has_values:
            self._layer, self._layers, self._weights = layer, run.layers, call.weights
            if not self._has_graph:  # nothing speaks against the caller's writing in the output
                *others, last = run.layers
                self._layers = [*others, LayerValues(last.output.clone(), last.kept)]
            given = None if call.given is None else call.given.map(lambda state: state.detach().clone())
            self._presented = given, call.lengths, call.is_batched, call.is_batch_first
            self._versions = self._versions_now()

    def _read_gradients(self) -> RecordedGradients | None:
        if self._totals is None:
            return None
        return KernelGradients(self._totals, self._packed, self._form.kind.cell_size is not None, self._has_graph)

    def _make_trace(self) -> Trace | None:
        """Return states and gates, a copy of its own where the caller has them too."""
        if not self._has_values:
            return None
        self._check_unchanged()
        with torch.inference_mode(False):  # what is made in that mode can never take part in a gradient
            layers = [*self._layers[:-1], LayerValues(self._layers[-1].output.clone(), self._layers[-1].kept)]
            call = self._call_of(layers[-1].output)
            rows = values_of_native(layers, call, equations_of(self._layer), num_directions(self._layer))
            weights = TracedWeights.of_versions(self._layer, in_one_list(self._weights), self._versions[1:])
            return collect(self._layer, call, layers[-1].output, self._final(call, rows), rows, weights)

    def _call_of(self, output: Tensor) -> Call:
        """Return the call without graph and weights; of the input a trace needs the shape alone, which `output` has."""
        given, lengths, is_batched, is_batch_first = self._presented
        packed = None if self._packed is None else self._packed._replace(data=output)
        return Call(output, given, self._form, [], lengths, is_batched, is_batch_first, packed)

    def _versions_now(self) -> list[int | None]:
        """Return the version counters of the output and of all weights."""
        return versions_of([self._layers[-1].output], *self._weights)

    def _check_unchanged(self) -> None:
        if versions_of([self._layers[-1].output]) != self._versions[:1]:
            raise RuntimeError(
                "the output of the recorded layer was changed in place before its trace was read; read the trace "
                "first, or change a copy"
            )

    def __getstate__(self) -> dict[str, Any]:
        """Return what is copied or pickled; of versions, which copied tensors count anew, whether they are the same."""
        if not self._has_values:
            return self.__dict__.copy()
        self._check_unchanged()
        are_same = [now == then for now, then in zip(self._versions_now(), self._versions, strict=True)]
        return {**self.__dict__, "_versions": are_same}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take it."""
        self.__dict__.update(state)
        if self._has_values:
            are_same = state["_versions"]
            self._versions = [now if same else -1 for now, same in zip(self._versions_now(), are_same, strict=True)]

    def _final(self, call: Call, rows: list[RowValues]) -> State:
        """Return h_n and c_n, which the caller may have changed."""
        initial, lengths, directions = call.initial, call.lengths, num_directions(self._layer)
        hidden, cell = [], []
        for index, row in enumerate(rows):
            is_reverse = index % directions == 1
            hidden.append(last_states(row.hidden, initial.hidden[index], lengths, is_reverse))
            if row.cell is not None:
                cell.append(last_states(row.cell, initial.require_cell()[index], lengths, is_reverse))
        return State(torch.stack(hidden), torch.stack(cell) if cell else None)
