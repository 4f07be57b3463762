"""The derivatives of the steps of a recorded call: what `step_jacobians` writes out and `lag_product` multiplies."""

from __future__ import annotations

import torch
from torch import Tensor

from gatewise.cells import State, StepDerivative
from gatewise.nn import Trace


def derivatives_of(trace: Trace, row: int) -> StepDerivative:
    """Return J_t for row `row` of the L*D axis, leading dimensions (T, N), in float64 and apart from any graph.

    Meaningless past a sequence's end.
    """
    layer, is_reverse = divmod(row, trace.num_directions)
    part = trace.layer(layer, "reverse" if is_reverse else "forward")

    def before(values: Tensor, initial: Tensor) -> Tensor:
        """Return what the step at t started from: t-1, in the reverse direction t+1, at a sequence's edge `initial`."""
        if not part.is_reverse:
            return torch.cat([initial.unsqueeze(0), values[:-1]])
        after = torch.cat([values[1:], initial.unsqueeze(0)])
        if trace.lengths is None:
            return after
        is_last = torch.arange(len(values)).unsqueeze(1) == trace.lengths - 1
        return torch.where(is_last.unsqueeze(-1).to(values.device), initial, after)

    previous_cell = None if part.cell is None or part.c_0 is None else before(part.cell, part.c_0)
    return trace.equations.step_derivative(
        State(before(part.hidden, part.h_0), previous_cell).map(_promoted),
        State(part.hidden, part.cell).map(_promoted),
        {name: _promoted(gate) for name, gate in part.gates.items()},
        trace.weights(row).map(_promoted),
    )


def _promoted(values: Tensor) -> Tensor:
    return values.detach().double()
