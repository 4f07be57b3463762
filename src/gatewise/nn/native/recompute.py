"""Backward where the gradient must itself be differentiable or is asked for in batches: the layer once more, composed.

Shapes as in `function.py`.
"""

from __future__ import annotations

import operator
from functools import partial

import torch
from torch import Tensor

from gatewise.cells import State, Weights
from gatewise.nn import ragged
from gatewise.nn.composite import DirectionRun, run_direction
from gatewise.nn.native.plan import Plan


def differentiable_gradients(
    plan: Plan,
    x: Tensor,
    h_0: Tensor | None,
    c_0: Tensor | None,
    flat: tuple[Tensor, ...],
    cotangents: tuple[Tensor | None, ...],
    needed: tuple[bool, ...],
) -> list[Tensor | None]:
    """Return the gradients of x, h_0, c_0 and the weights as a differentiable function of all tensors given."""
    # Aliases: an argument that is itself computed from another one must not take part in that one's gradient.
    x, flat = x.view_as(x), tuple(weight.view_as(weight) for weight in flat)
    h_0, c_0 = None if h_0 is None else h_0.view_as(h_0), None if c_0 is None else c_0.view_as(c_0)
    arguments = (x, h_0, c_0, *flat)
    runs = _run_directions(plan, x, plan.initial_state(x, h_0, c_0), flat)
    results = _results(plan, runs)
    pairs = [
        (result, cotangent)
        for result, cotangent in zip(results, cotangents, strict=False)  # values that are only looked at have none
        if result is not None and cotangent is not None and result.requires_grad
    ]
    wanted = [tensor for tensor, is_needed in zip(arguments, needed, strict=True) if is_needed and tensor is not None]
    if not pairs:
        return [None] * len(arguments)
    if plan.wanted_totals():
        for d, run in enumerate(runs):
            _hand_out(plan, d, run)
    found = iter(
        torch.autograd.grad(
            [result for result, _ in pairs],
            wanted,
            [cotangent for _, cotangent in pairs],
            create_graph=True,
            allow_unused=True,
        )
    )
    return [
        next(found) if is_needed and tensor is not None else None
        for tensor, is_needed in zip(arguments, needed, strict=True)
    ]


def _run_directions(plan: Plan, x: Tensor, initial: State, flat: tuple[Tensor, ...]) -> list[DirectionRun]:
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
            plan.kind.equations,
            inputs,
            initial.map(operator.itemgetter(d)),
            Weights(*plan.weights(flat, d)),
            valid,
            is_reverse=d == 1,
        )
        for d in range(plan.kind.num_directions)
    ]


def _results(plan: Plan, runs: list[DirectionRun]) -> list[Tensor | None]:
    """Return what the layer's node returns, in its order."""
    names = plan.kind.equations.gate_names
    cells = [run.final.cell for run in runs if run.final.cell is not None]
    results: list[Tensor | None] = [
        _as_rows(plan, torch.cat([run.hidden for run in runs], dim=-1)),
        torch.stack([run.final.hidden for run in runs]),
        torch.stack(cells) if cells else None,
    ]
    if plan.tracing != "graph":
        return results
    for run in runs if names else []:
        # The last block is c_t; the GRU's is nobody's result.
        last = [
            gates[names[0]].detach() if state.cell is None else state.cell
            for gates, state in zip(run.gates, run.states, strict=True)
        ]
        steps = [
            torch.cat([*map(gates.__getitem__, names), c], dim=-1) for gates, c in zip(run.gates, last, strict=True)
        ]
        results.append(_as_rows(plan, torch.stack(steps)))
    return results


def _as_rows(plan: Plan, values: Tensor) -> Tensor:
    """Bring (T, N, *) into the form of the call's rows; past a sequence's end they are zero."""
    if plan.shape.lengths is None:
        return values
    valid = ragged.valid_steps(plan.shape.lengths, plan.shape.num_steps)
    return values.masked_fill(~valid.unsqueeze(-1), 0) if plan.shape.offsets is None else values[valid]


def _hand_out(plan: Plan, d: int, run: DirectionRun) -> None:
    """Add to the totals every gradient that reaches a node, in this pass and in those through the gradient."""
    for t, state in enumerate(run.states):
        for node, is_cell in ((state.hidden, False), (state.cell, True)):
            if node is not None and node.requires_grad:
                node.register_hook(partial(_add_step, plan, d, t, is_cell))  # type: ignore[no-untyped-call]


def _add_step(plan: Plan, d: int, t: int, is_cell: bool, gradient: Tensor) -> None:
    steps = gradient.new_zeros(plan.shape.num_steps, *gradient.shape)
    steps[t] = gradient.detach()
    rows = _as_rows(plan, steps)
    for total in plan.wanted_totals():
        total.add(plan.first_row + d, None if is_cell else rows, rows if is_cell else None)
