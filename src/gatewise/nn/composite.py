"""The composite path: a whole layer, step by step, out of the cells' differentiable equations.

It computes what torch.nn computes and keeps every state and gate as a node of the autograd graph, so that traces are
differentiable and the total gradient of each step can be read off. It is the readable reference, not the fast path.

Shapes: T steps, N sequences, I inputs, H hidden units, P projection, L*D layers times directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import RNNBase

from gatewise.cells import Cell, Gates, State, Weights
from gatewise.nn import ragged
from gatewise.nn.call import Call
from gatewise.nn.weights import by_meaning, equations_of, num_directions


@dataclass(frozen=True)
class DirectionRun:
    """What one layer computed in one direction; lists are in the order of input positions."""

    states: list[State]  # T nodes (N, P) and (N, H); meaningless past a sequence's end
    gates: list[Gates]  # T times name -> (N, H)
    hidden: Tensor  # (T, N, P), zero past each sequence's end: what the next layer sees
    final: State  # (N, P) and (N, H) after each sequence's last processed step


@dataclass(frozen=True)
class Run:
    """What a layer computed on a call."""

    call: Call
    output: Tensor  # (T, N, D*P)
    final: State  # hidden (L*D, N, P), cell (L*D, N, H)
    directions: list[DirectionRun]  # L*D


def run_composite(layer: RNNBase, call: Call) -> Run:
    """Compute `call` step by step; dropout between layers draws torch.nn's own masks."""
    equations, directions = equations_of(layer), num_directions(layer)
    output, valid = call.inputs, None
    if call.lengths is not None:
        valid = ragged.valid_steps(call.lengths, len(output)).to(output.device)
        # Padding may hold anything, NaN included; 0 * NaN would bring it into the weight gradients.
        output = output.masked_fill(~valid.unsqueeze(-1), 0)
    runs: list[DirectionRun] = []
    for index in range(layer.num_layers):
        if index > 0 and layer.dropout > 0 and layer.training:
            output = ragged.dropout(output, layer.dropout, call.lengths, call.packed)
        of_layer = []
        for direction in range(directions):
            row = index * directions + direction
            initial = State(call.initial.hidden[row], None if call.initial.cell is None else call.initial.cell[row])
            weights = by_meaning(call.weights[row], layer.bias)
            of_layer.append(run_direction(equations, output, initial, weights, valid, is_reverse=direction == 1))
        output = torch.cat([run.hidden for run in of_layer], dim=-1)
        runs += of_layer
    return Run(call, output, _stack_states([run.final for run in runs]), runs)


def run_direction(
    equations: Cell, inputs: Tensor, initial: State, weights: Weights, valid: Tensor | None, is_reverse: bool
) -> DirectionRun:
    """Walk through (T, N, I) from `initial`, backwards in time if `is_reverse`."""
    projected = equations.project_input(inputs, weights)
    num_steps = len(inputs)
    states: list[State] = [initial] * num_steps
    gates: list[Gates] = [{}] * num_steps
    current = initial
    for t in reversed(range(num_steps)) if is_reverse else range(num_steps):
        states[t], gates[t] = equations.step(projected[t], current, weights)
        current = states[t] if valid is None else _select(valid[t], states[t], current)
    hidden = torch.stack([state.hidden for state in states])
    if valid is not None:
        hidden = hidden.masked_fill(~valid.unsqueeze(-1), 0)
    return DirectionRun(states, gates, hidden, current)


def _select(is_valid: Tensor, new: State, old: State) -> State:
    """Return the new state for sequences that still run (N,), the old one for those that have ended."""
    mask = is_valid.unsqueeze(-1)
    cell = None if new.cell is None or old.cell is None else torch.where(mask, new.cell, old.cell)
    return State(torch.where(mask, new.hidden, old.hidden), cell)


def _stack_states(states: list[State]) -> State:
    """Stack the states of all layers and directions on a new first axis."""
    cells = [state.cell for state in states if state.cell is not None]
    return State(torch.stack([state.hidden for state in states]), torch.stack(cells) if cells else None)
