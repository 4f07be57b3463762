"""Driving one layer and direction along a sequence, a block of steps at a time, and handing out its step Jacobians.

Shapes: T steps, N sequences, I inputs, H hidden units, P projection (P = H without one).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gatewise.cells import Cell, State, Weights
from gatewise.flow.growth import Step
from gatewise.nn.composite import run_direction
from gatewise.nn.ragged import valid_steps

# The gates and states of so many steps are held at a time; of those before, only the last state.
BLOCK_STEPS = 64


def drive(
    equations: Cell,
    weights: Weights,
    inputs: Tensor,
    initial: State,
    lengths: Tensor | None,
    hidden: Tensor,
    name: str,
) -> Iterator[Step]:
    """Yield the steps t = 0, 1, ... of all N sequences.

    Parameters
    ----------
    equations, weights
        Of the layer and direction.
    inputs : Tensor
        x (T, N, I); what lies past a sequence's end is not read.
    initial : State
        (N, P) and (N, H).
    lengths : Tensor of shape (N,) or None
    hidden : Tensor
        Filled with h_t (T, N, P), zero past each sequence's end.
    name : str
        What is driven, for the error.

    Raises
    ------
    ValueError
        If a state is not finite.
    """
    valid = None if lengths is None else valid_steps(lengths, len(inputs)).to(inputs.device)
    for start in range(0, len(inputs), BLOCK_STEPS):
        block = slice(start, start + BLOCK_STEPS)
        valid_block = None if valid is None else valid[block]
        x = inputs[block] if valid_block is None else inputs[block].masked_fill(~valid_block.unsqueeze(-1), 0)
        run = run_direction(equations, x, initial, weights, valid_block, is_reverse=False)
        hidden[block] = run.hidden
        _require_finite(run.hidden, start, name)
        gates = {gate: torch.stack([step[gate] for step in run.gates]) for gate in equations.gate_names}
        previous, states = _stacked([initial, *run.states[:-1]]), _stacked(run.states)
        derivative = equations.step_derivative(previous, states, gates, weights)
        norms = derivative.norm()
        for t in range(len(x)):
            yield Step(derivative[t], norms[t], None if valid_block is None else valid_block[t])
        initial = run.final


def reverse_each(values: Tensor, lengths: Tensor | None) -> Tensor:
    """Return (T, N, *) with the steps of each sequence in reverse order; what lies past its end stays there."""
    if lengths is None:
        return values.flip(0)
    steps = torch.arange(len(values)).unsqueeze(1)
    source = torch.where(steps < lengths, lengths - 1 - steps, steps).to(values.device)
    return values[source, torch.arange(values.shape[1], device=values.device)]


def _stacked(states: list[State]) -> State:
    """Stack (N, ...) states to (B, N, ...)."""
    cells = [state.cell for state in states if state.cell is not None]
    return State(torch.stack([state.hidden for state in states]), torch.stack(cells) if cells else None)


def _require_finite(hidden: Tensor, start: int, name: str) -> None:
    is_broken = ~hidden.isfinite().flatten(1).all(dim=1)
    if is_broken.any():
        step = start + int(is_broken.nonzero()[0])
        raise ValueError(
            f"{name}: the state is not finite after {step + 1} steps; look for NaN or infinity in the inputs and "
            "weights, or for a state that explodes"
        )
