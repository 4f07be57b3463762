"""Sending a vector back through time: v^T ds_T / ds_t for every step t, by autograd over all paths inside the model.

s is h for RNN and GRU and [h; c] for the LSTM. Shapes: T steps, N sequences, I inputs, H hidden units, P projection
(P = H without one), S = P or P + H the size of the state vector.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gatewise import cells
from gatewise.cells import State
from gatewise.nn.composite import DirectionRun


def state_size(row: DirectionRun) -> int:
    """Return S."""
    state = row.states[0]
    return state.hidden.shape[-1] + (0 if state.cell is None else state.cell.shape[-1])


def norm(vectors: Tensor) -> Tensor:
    """Return the Euclidean norm along the last axis, right over the whole range: squares do not under- or overflow."""
    largest = vectors.abs().amax(dim=-1, keepdim=True)
    scale = torch.where((largest > 0) & largest.isfinite(), largest, 1.0)
    norms: Tensor = scale.squeeze(-1) * torch.linalg.vector_norm(vectors / scale, dim=-1)
    return norms


def loss_adjoint(loss: Tensor, row: DirectionRun, projection: Tensor | None, ends: Tensor) -> Tensor:
    """Return v = dL/ds_T (N, S) at each sequence's step T given by `ends` (N,); zero where that is negative."""
    steps = _distinct(ends)
    at_ends = _adjoints([loss], [torch.ones_like(loss)], row, projection, steps)
    v = at_ends.new_zeros(at_ends.shape[1:])
    for adjoint, step in zip(at_ends, steps, strict=True):
        v = torch.where((ends == step).to(v.device).unsqueeze(-1), adjoint, v)
    return v


def send_back(v: Tensor, row: DirectionRun, projection: Tensor | None, ends: Tensor) -> Tensor:
    """Return v^T ds_T / ds_t (T, N, S) for v (N, S) put in at each sequence's step `ends` (N,)."""
    outputs, cotangents = _at_ends(v, row, ends)
    return _adjoints(outputs, cotangents, row, projection, list(range(len(row.states))))


def send_back_to_inputs(v: Tensor, row: DirectionRun, inputs: Sequence[Tensor], ends: Tensor) -> Tensor:
    """Return v^T ds_T / dx_t (T, N, I) for x in the parts `inputs` in which the layer got it, each (steps, N, I)."""
    outputs, cotangents = _at_ends(v, row, ends)
    gradients = torch.autograd.grad(outputs, list(inputs), cotangents, retain_graph=True, materialize_grads=True)
    return torch.cat(gradients)


def _at_ends(v: Tensor, row: DirectionRun, ends: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Return the states at the steps `ends` (N,) with their shares of v (N, S)."""
    hidden_size = row.states[0].hidden.shape[-1]
    outputs: list[Tensor] = []
    cotangents: list[Tensor] = []
    for step in _distinct(ends):
        v_here = torch.where((ends == step).to(v.device).unsqueeze(-1), v, 0.0)
        state = row.states[step]
        outputs.append(state.hidden)
        cotangents.append(v_here[:, :hidden_size])
        if state.cell is not None:
            outputs.append(state.cell)
            cotangents.append(v_here[:, hidden_size:])
    return outputs, cotangents


def _distinct(ends: Tensor) -> list[int]:
    return sorted({int(end) for end in ends if end >= 0})


def _adjoints(
    outputs: list[Tensor], cotangents: list[Tensor], row: DirectionRun, projection: Tensor | None, steps: list[int]
) -> Tensor:
    """Return the gradient of ``sum(cotangents * outputs)`` with respect to s_t (steps, N, S)."""
    states = [row.states[step] for step in steps]
    nodes = [state.hidden for state in states] + [state.cell for state in states if state.cell is not None]
    gradients = torch.autograd.grad(outputs, nodes, cotangents, retain_graph=True, materialize_grads=True)
    hidden_gradient = torch.stack(gradients[: len(steps)])
    if len(nodes) == len(steps):
        return hidden_gradient
    cell_gradient = torch.stack(gradients[len(steps) :])
    through_output = hidden_gradient if projection is None else hidden_gradient @ projection
    slopes = torch.stack([_output_slope(row, step) for step in steps])
    # Autograd's dL/dc_t goes through h_t = o * tanh(c_t) of the same step too; in [h; c] that path belongs to h_t.
    return torch.cat([hidden_gradient, cell_gradient - slopes * through_output], dim=-1)


def _output_slope(row: DirectionRun, step: int) -> Tensor:
    state = State(row.states[step].hidden.detach(), row.states[step].require_cell().detach())
    gates = {name: gate.detach() for name, gate in row.gates[step].items()}
    return cells.LSTM().output_slope(state, gates)
