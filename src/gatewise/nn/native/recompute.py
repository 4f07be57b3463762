"""Backward where the gradient must itself be differentiable or is asked for in batches: the layer once more, composed.

Shapes as in `function.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gatewise.cells import State, Weights
from gatewise.nn import ragged
from gatewise.nn.composite import DirectionRun, run_direction
from gatewise.nn.native.plan import Plan


def differentiable_gradients(
    plan: Plan,
    x: Tensor,
    h_0: Tensor,
    c_0: Tensor | None,
    flat: tuple[Tensor, ...],
    cotangents: tuple[Tensor | None, ...],
    needed: tuple[bool, ...],
) -> list[Tensor | None]:
    """Return the gradients of x, h_0, c_0 and the weights as a differentiable function of all tensors given."""
    # Aliases: an argument that is itself computed from another one must not take part in that one's gradient.
    x, h_0 = x.view_as(x), h_0.view_as(h_0)
    c_0 = None if c_0 is None else c_0.view_as(c_0)
    flat = tuple(weight.view_as(weight) for weight in flat)
    arguments = (x, h_0, c_0, *flat)
    runs = _run_directions(plan, x, h_0, c_0, flat)
    results = _results(plan, runs)
    pairs = [
        (result, cotangent)
        for result, cotangent in zip(results, cotangents, strict=False)  # values that are only looked at have none
        if result is not None and cotangent is not None
    ]
    wanted = [tensor for tensor, is_needed in zip(arguments, needed, strict=True) if is_needed and tensor is not None]
    nodes = [_nodes(run) for run in runs] if plan.totals else []
    found = iter(
        torch.autograd.grad(
            [result for result, _ in pairs],
            [*wanted, *(node for of_direction in nodes for node in of_direction)],
            [cotangent for _, cotangent in pairs],
            create_graph=True,
            allow_unused=True,
        )
    )
    gradients = [
        next(found) if is_needed and tensor is not None else None
        for tensor, is_needed in zip(arguments, needed, strict=True)
    ]
    for d, of_direction in enumerate(nodes):
        _hand_out(plan, d, [_or_zero(next(found), node) for node in of_direction])
    return gradients


def _run_directions(
    plan: Plan, x: Tensor, h_0: Tensor, c_0: Tensor | None, flat: tuple[Tensor, ...]
) -> list[DirectionRun]:
    shape = plan.shape
    inputs, valid = x, None
    if shape.lengths is not None:
        valid = ragged.valid_steps(shape.lengths, shape.num_steps)
        if shape.offsets is None:
            inputs = x.masked_fill(~valid.unsqueeze(-1), 0)
        else:  # packed rows are the valid steps in time-major order
            inputs = x.new_zeros(*valid.shape, x.shape[-1]).masked_scatter(valid.unsqueeze(-1), x)
    return [
        run_direction(
            plan.equations,
            inputs,
            State(h_0[d], None if c_0 is None else c_0[d]),
            Weights(*plan.weights(flat, d)),
            valid,
            is_reverse=d == 1,
        )
        for d in range(plan.num_directions)
    ]


def _results(plan: Plan, runs: list[DirectionRun]) -> list[Tensor | None]:
    """Return what the layer's node returns, in its order."""
    names = plan.equations.gate_names
    cells = [run.final.cell for run in runs if run.final.cell is not None]
    results: list[Tensor | None] = [
        _as_rows(plan, torch.cat([run.hidden for run in runs], dim=-1)),
        torch.stack([run.final.hidden for run in runs]),
        torch.stack(cells) if cells else None,
    ]
    if plan.tracing != "graph":
        return results
    if names:
        for run in runs:
            steps = [torch.cat([gates[name] for name in names], dim=-1) for gates in run.gates]
            results.append(_as_rows(plan, torch.stack(steps)))
    if plan.equations.has_cell_state:
        for run in runs:
            results.append(_as_rows(plan, torch.stack([state.require_cell() for state in run.states])))
    return results


def _as_rows(plan: Plan, values: Tensor) -> Tensor:
    """Bring (T, N, *) into the form of the call's rows; past a sequence's end they are zero."""
    if plan.shape.lengths is None:
        return values
    valid = ragged.valid_steps(plan.shape.lengths, plan.shape.num_steps)
    return values.masked_fill(~valid.unsqueeze(-1), 0) if plan.shape.offsets is None else values[valid]


def _nodes(run: DirectionRun) -> list[Tensor]:
    """Return the nodes h_t of all steps, then those of c_t where there are any."""
    cells = [state.cell for state in run.states if state.cell is not None]
    return [state.hidden for state in run.states] + cells


def _or_zero(gradient: Tensor | None, node: Tensor) -> Tensor:
    return torch.zeros_like(node) if gradient is None else gradient.detach()


def _hand_out(plan: Plan, d: int, gradients: list[Tensor]) -> None:
    num_steps = plan.shape.num_steps
    hidden = _as_rows(plan, torch.stack(gradients[:num_steps]))
    cell = _as_rows(plan, torch.stack(gradients[num_steps:])) if len(gradients) > num_steps else None
    for total in plan.totals:
        total.add(plan.first_row + d, hidden, cell)
