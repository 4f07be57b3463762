"""The values of a recorded call on the native path: kept as they are until somebody reads them as a trace.

What a recording does at every step should take no time: copies, and the form of a trace, wait until they are asked for.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import RNNBase

from gatewise.cells import State
from gatewise.nn.native import LayerValues, NativeRun
from gatewise.nn.ragged import last_states
from gatewise.nn.trace import Trace, TracedWeights, collect, versions_of
from gatewise.nn.values import RowValues, values_of_native
from gatewise.nn.weights import equations_of, in_one_list, num_directions


class RecordedValues:
    """States and gates of one call, detached.

    Parameters
    ----------
    layer : RNNBase
    run : NativeRun
        Traced as "values".
    """

    def __init__(self, layer: RNNBase, run: NativeRun) -> None:
        self._layer = layer
        self._layers = [*run.layers]
        if not run.output.requires_grad:  # nothing speaks against the caller's writing in it
            self._layers[-1] = LayerValues(self._layers[-1].output.clone(), self._layers[-1].kept)
        output = self._layers[-1].output
        self._call = run.call.detached(output)
        self._weights = run.call.weights
        self._output_version, *self._weight_versions = versions_of([output], *self._weights)

    def trace(self) -> Trace:
        """Return them in the form of a trace, a copy of its own where the caller has them too.

        Raises
        ------
        RuntimeError
            If the layer's output was changed in place since; writes through .data or numpy go unseen, as by autograd.
        """
        self._check_unchanged()
        with torch.inference_mode(False):  # what is made in that mode can never take part in a gradient
            layers = [*self._layers[:-1], LayerValues(self._layers[-1].output.clone(), self._layers[-1].kept)]
            rows = values_of_native(layers, self._call, equations_of(self._layer), num_directions(self._layer))
            weights = TracedWeights.of_versions(self._layer, in_one_list(self._weights), self._weight_versions)
            return collect(self._layer, self._call, layers[-1].output, self._final(rows), rows, weights)

    def _check_unchanged(self) -> None:
        if versions_of([self._layers[-1].output]) != [self._output_version]:
            raise RuntimeError(
                "the output of the recorded layer was changed in place before its trace was read; read the trace "
                "first, or change a copy"
            )

    def __getstate__(self) -> dict[str, Any]:
        """Return what is copied or pickled."""
        self._check_unchanged()
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take it; a copied tensor counts its changes anew."""
        self.__dict__.update(state)
        (self._output_version,) = versions_of([self._layers[-1].output])

    def _final(self, rows: list[RowValues]) -> State:
        """Return h_n and c_n, which the caller may have changed."""
        initial, lengths, directions = self._call.initial, self._call.lengths, num_directions(self._layer)
        hidden, cell = [], []
        for index, row in enumerate(rows):
            is_reverse = index % directions == 1
            hidden.append(last_states(row.hidden, initial.hidden[index], lengths, is_reverse))
            if row.cell is not None:
                cell.append(last_states(row.cell, initial.require_cell()[index], lengths, is_reverse))
        return State(torch.stack(hidden), torch.stack(cell) if cell else None)
