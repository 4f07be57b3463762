"""Backward of one layer: through time, then the products that are parallel over time. Shapes as in `function.py`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from gatewise import _native
from gatewise._native import DirectionKernel, Initial, WeightGradients
from gatewise.nn.native.plan import DirectionWeights, Plan

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
    grad_weights: list[Tensor | None] = []
    for d in range(plan.num_directions):
        weights = plan.weights(saved.flat, d)
        kernel = plan.kernel(d, x.dtype, x.shape[-1])
        needs = needs_weights[d * plan.weights_per_direction :][: plan.weights_per_direction]
        of_direction = [
            _memory_like(weight) if needs[k] else None for k, weight in enumerate(weights[:4]) if weight is not None
        ]
        with _native.Loan(y.numel() // y.shape[-1] * plan.gradient_size, y.dtype) as da:
            grad_h = _through_time(plan, kernel, d, saved, y, initial, weights, given, grad_initial, da)
            kernel.products(x, initial[0], weights[0].contiguous(), y, da, WeightGradients(*of_direction), grad_x)
        grad_weights += of_direction
        if plan.proj_size:
            grad_weights.append(_projection_gradient(plan, saved, d, grad_h) if needs[-1] else None)
    return [grad_x, *grad_initial, *grad_weights]


def _through_time(
    plan: Plan,
    kernel: DirectionKernel,
    d: int,
    saved: Saved,
    y: Tensor,
    initial: Initial,
    weights: DirectionWeights,
    given: list[Tensor | None],
    grad_initial: Initial,
    da: Tensor,
) -> Tensor | None:
    """Walk back through direction `d`: write da (rows, G*H), for the GRU (rows, 4H); return dL/dh_t if it was made."""
    rows, size, has_cell_state = y.shape[:-1], plan.hidden_size, plan.equations.has_cell_state
    of_kept = given[3 + d] if len(given) > 3 else None
    wants_all = any(not total.are_norms_only for total in plan.totals)
    wants_norms = any(total.are_norms_only for total in plan.totals)
    grad_h = y.new_empty(*rows, plan.state_size) if wants_all or plan.proj_size else None
    grad_c = y.new_empty(*rows, size) if wants_all and has_cell_state else None
    norm_h = y.new_empty(rows, dtype=torch.float64) if wants_norms else None
    norm_c = y.new_empty(rows, dtype=torch.float64) if wants_norms and has_cell_state else None
    kernel.backward(
        (given[0], given[1], given[2]),
        None if of_kept is None else of_kept.contiguous(),
        initial,
        weights[1].contiguous(),
        None if weights[4] is None else weights[4].contiguous(),
        y,
        saved.kept[d].contiguous() if saved.kept else None,
        da,
        grad_initial,
        (grad_h, grad_c),
        (norm_h, norm_c),
    )
    for total in plan.totals:
        if total.are_norms_only and norm_h is not None:
            total.add_norms(plan.first_row + d, norm_h, norm_c)
        elif grad_h is not None:
            total.add(plan.first_row + d, grad_h, grad_c)
    return grad_h


def _given(cotangents: tuple[Tensor | None, ...]) -> list[Tensor | None]:
    """Return the cotangents as the kernels read them; a gradient of a sum stays expanded in the output's."""
    given = [None if tensor is None or tensor._is_zerotensor() else tensor.resolve_neg() for tensor in cotangents]
    return [
        tensor if tensor is None or (k == 0 and tensor.stride(-1) == 0) else with_contiguous_rows(tensor)
        for k, tensor in enumerate(given)
    ]


def _memory_like(tensor: Tensor) -> Tensor:
    """Return contiguous memory for a gradient."""
    return torch.empty_like(tensor, memory_format=torch.contiguous_format)


def _projection_gradient(plan: Plan, saved: Saved, d: int, grad_h: Tensor | None) -> Tensor | None:
    """Return dW_hr = sum over the rows of dh_t m_t^T, m = o * tanh(c_t)."""
    if grad_h is None:
        return None
    output_gate, cell = saved.kept[d][..., 3 * plan.hidden_size :].chunk(2, dim=-1)
    m = output_gate * cell.tanh()
    return grad_h.reshape(-1, plan.proj_size).t() @ m.reshape(-1, plan.hidden_size)


def state_rows(state: Tensor | None) -> Tensor | None:
    """Return a state as the kernels read it; None is zeros."""
    return None if state is None else with_contiguous_rows(state)


def with_contiguous_rows(tensor: Tensor) -> Tensor:
    """Return the tensor itself if its last axis is contiguous, else a copy."""
    return tensor if tensor.stride(-1) == 1 or tensor.shape[-1] == 1 else tensor.contiguous()
