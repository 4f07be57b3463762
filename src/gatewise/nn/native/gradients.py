"""Backward of one layer on the kernels. Shapes as in `function.py`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from gatewise import _native
from gatewise._native import WeightGradients, tensor_of
from gatewise.nn.native.plan import Plan

_NOTHING_TO_DO = nullcontext()


def undisturbed() -> AbstractContextManager[None]:
    """Keep out of a backward what surrounds it: autocast, which would round its products, and a parent's threads."""
    if _native.is_forked_child() or torch.is_autocast_enabled("cpu"):
        return _serial_and_precise()
    return _NOTHING_TO_DO


@contextmanager
def _serial_and_precise() -> Iterator[None]:
    with _native.serial_in_forked_child(), torch.autocast("cpu", enabled=False):
        yield


class Saved(NamedTuple):
    """What forward kept; lists hold one entry a direction, nothing for the RNN."""

    x: Tensor  # (rows, I)
    h_0: Tensor | None  # (D, N, P); None: zeros
    c_0: Tensor | None  # (D, N, H); None: zeros, or no cell state
    flat: tuple[Tensor, ...]
    y: Tensor  # (rows, D*P)
    kept: list[Tensor]  # (rows, (G+1)*H)


def gradients(
    plan: Plan, saved: Saved, cotangents: tuple[Tensor | None, ...], needed: tuple[bool, ...]
) -> list[Tensor | None]:
    """Return the gradients of x, h_0, c_0 and the weights, None where not needed.

    Parameters
    ----------
    plan : Plan
    saved : Saved
    cotangents : tuple
        dL/dy, dL/dh_n, dL/dc_n, and where the layer is traced those of what was kept, a direction each; None is zero.
    needed : tuple of bool
        In the order of the result.
    """
    needs_x, _, _, *needs_weights = needed
    # Hooks on saved tensors may hand back other strides than they got.
    x, y = with_contiguous_rows(saved.x), saved.y.contiguous()
    h_0, c_0 = saved.h_0, saved.c_0
    initial = state_rows(h_0), state_rows(c_0)
    grad_initial = None if h_0 is None else _memory_like(h_0), None if c_0 is None else _memory_like(c_0)
    grad_x = _memory_like(x) if needs_x else None
    given = _given(cotangents)
    totals = plan.wanted_totals()
    are_norms_only = [total.are_norms_only for total in totals]
    wants_vectors, wants_norms = False in are_norms_only, True in are_norms_only
    grad_weights: list[Tensor | None] = []
    per_direction = plan.kind.weights_per_direction
    for d in range(plan.kind.num_directions):
        weights = plan.weights(saved.flat, d)
        kernel = plan.kernel(d, x.dtype, x.shape[-1])
        needs = needs_weights[d * per_direction :][:per_direction]
        of_weights = [
            _memory_like(weight) if needs[k] else None for k, weight in enumerate(weights[:4]) if weight is not None
        ]
        hidden, cell, hidden_norm, cell_norm = kernel.backward(
            plan.shape,
            (given[0], given[1], given[2]),
            given[3 + d] if len(given) > 3 else None,
            x,
            initial,
            (weights[0].contiguous(), weights[1].contiguous(), None if weights[4] is None else weights[4].contiguous()),
            y,
            saved.kept[d].contiguous() if saved.kept else None,
            grad_x,
            grad_initial,
            WeightGradients(*of_weights),
            # The gradient of a projection is made of dL/dh_t too.
            wants_hidden=wants_vectors or plan.kind.proj_size > 0,
            wants_cell=wants_vectors,
            wants_norms=wants_norms,
        )
        for total in totals:
            if total.are_norms_only:
                total.add_norms(plan.first_row + d, hidden_norm, cell_norm)
            else:
                total.add(plan.first_row + d, hidden, cell)
        grad_weights += of_weights
        if plan.kind.proj_size:
            grad_weights.append(_projection_gradient(plan, saved, d, hidden) if needs[-1] else None)
    return [grad_x, *grad_initial, *grad_weights]


def _given(cotangents: tuple[Tensor | None, ...]) -> list[Tensor | None]:
    """Return the cotangents as the kernels read them; the output's may stay expanded, as the gradient of a sum is."""
    given: list[Tensor | None] = []
    for k, tensor in enumerate(cotangents):
        if tensor is None or tensor._is_zerotensor():
            given.append(None)
        elif k == 0:
            resolved = tensor.resolve_neg()
            given.append(resolved if resolved.stride(-1) == 0 else with_contiguous_rows(resolved))
        else:
            given.append(tensor.resolve_neg().contiguous())
    return given


def _memory_like(tensor: Tensor) -> Tensor:
    """Return contiguous memory for a gradient."""
    return torch.empty_like(tensor, memory_format=torch.contiguous_format)


def _projection_gradient(plan: Plan, saved: Saved, d: int, grad_h: object) -> Tensor:
    """Return dW_hr = sum over the rows of dh_t m_t^T, m = o * tanh(c_t)."""
    output_gate, cell = saved.kept[d][..., 3 * plan.kind.hidden_size :].chunk(2, dim=-1)
    m = output_gate * cell.tanh()
    return tensor_of(grad_h).reshape(-1, plan.kind.proj_size).t() @ m.reshape(-1, plan.kind.hidden_size)


def state_rows(state: Tensor | None) -> Tensor | None:
    """Return a state as the kernels read it; None is zeros."""
    return None if state is None else with_contiguous_rows(state)


def with_contiguous_rows(tensor: Tensor) -> Tensor:
    """Return the tensor itself if its last axis is contiguous, else a copy."""
    return tensor if tensor.stride(-1) == 1 or tensor.shape[-1] == 1 else tensor.contiguous()
