"""What each layer and direction computed on a call, in one form whichever path computed it.

Shapes: T steps, N sequences, H hidden units, P projection (P = H without one), L*D layers times directions, G gates.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gatewise.cells import Cell
from gatewise.nn.call import Call
from gatewise.nn.composite import DirectionRun, Run
from gatewise.nn.native import LayerValues
from gatewise.nn.ragged import valid_steps


@dataclass(frozen=True)
class RowValues:
    """One row of the L*D axis; all are zero past each sequence's end."""

    hidden: Tensor  # (T, N, P)
    cell: Tensor | None  # (T, N, H)
    gates: dict[str, Tensor]  # name -> (T, N, H)


def values_of_composite(run: Run, equations: Cell) -> list[RowValues]:
    """Return the values of every row (L*D)."""
    return [_of_direction(direction, run.call, equations) for direction in run.directions]


def _of_direction(run: DirectionRun, call: Call, equations: Cell) -> RowValues:
    past_end = None
    if call.lengths is not None:
        past_end = ~valid_steps(call.lengths, len(run.hidden)).unsqueeze(-1).to(run.hidden.device)

    def collect(steps: list[Tensor]) -> Tensor:
        stacked = torch.stack(steps)
        return stacked if past_end is None else stacked.masked_fill(past_end, 0)

    return RowValues(
        run.hidden,
        collect([state.require_cell() for state in run.states]) if equations.has_cell_state else None,
        {name: collect([gates[name] for gates in run.gates]) for name in equations.gate_names},
    )


def values_of_native(layers: list[LayerValues], call: Call, equations: Cell, directions: int) -> list[RowValues]:
    """Return the values of every row (L*D) of a run with gates."""
    return [values for layer in layers for values in _of_layer(layer, directions, call, equations)]


def _of_layer(layer: LayerValues, directions: int, call: Call, equations: Cell) -> list[RowValues]:
    found = []
    for d, hidden in enumerate(call.padded(layer.output).chunk(directions, dim=-1)):
        if not equations.gate_names:
            found.append(RowValues(hidden, None, {}))
            continue
        *gates, last = call.padded(layer.kept[d]).chunk(equations.num_blocks + 1, dim=-1)
        by_name = dict(zip(equations.gate_names, gates, strict=True))
        found.append(RowValues(hidden, last if equations.has_cell_state else None, by_name))
    return found
