"""Backward of one layer: through time, then the products that are parallel over time. Shapes as in `function.py`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from gatewise import _native
from gatewise._native import DirectionKernel, Initial, WeightGradients
from gatewise.nn.native.plan import DirectionWeights, Plan


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keep out of a backward what surrounds it: autocast, which would round its products, and a parent's threads."""
    autocast = torch.autocast("cpu", enabled=False) if torch.is_autocast_enabled("cpu") else nullcontext()
    with _native.serial_in_forked_child(), autocast:
        yield


class Saved(NamedTuple):
    """What forward kept; lists hold one entry a direction, nothing for the RNN."""

    x: Tensor  # (rows, I)
    h_0: Tensor  # (D, N, P)
    c_0: Tensor | None  # (D, N, H)
    flat: tuple[Tensor, ...]
    y: Tensor  # (rows, D*P)
    gates: list[Tensor]  # (rows, G*H)
    kept: list[Tensor]  # (rows, H)


def gradients(
    plan: Plan, saved: Saved, cotangents: tuple[Tensor | None, ...], needed: tuple[bool, ...]
) -> list[Tensor | None]:
    """Return the gradients of x, h_0, c_0 and the weights, None where not needed.

    Parameters
    ----------
    plan : Plan
    saved : Saved
    cotangents : tuple
        dL/dy, dL/dh_n, dL/dc_n, and where the layer is traced those of the gates, then of the cell states, a direction
        each; None is zero.
    needed : tuple of bool
        In the order of the result.
    """
    needs_x, _, _, *needs_weights = needed
    # Hooks on saved tensors may hand back other strides than they got.
    x, y = with_contiguous_rows(saved.x), saved.y.contiguous()
    initial = with_contiguous_rows(saved.h_0), None if saved.c_0 is None else with_contiguous_rows(saved.c_0)
    grad_initial = x.new_empty(saved.h_0.shape), None if saved.c_0 is None else x.new_empty(saved.c_0.shape)
    grad_x = x.new_empty(x.shape) if needs_x else None
    given = [
        None if tensor is None or tensor._is_zerotensor() else with_contiguous_rows(tensor.resolve_neg())
        for tensor in cotangents
    ]
    grad_weights: list[Tensor | None] = []
    for d in range(plan.num_directions):
        weights = plan.weights(saved.flat, d)
        kernel = plan.kernel(d, x.dtype, x.shape[-1])
        needs = needs_weights[d * plan.weights_per_direction :][: plan.weights_per_direction]
        of_direction = _empty_like(weights[:4], needs)
        with _native.lent(y[..., 0].numel() * plan.gradient_size, y.dtype) as memory:
            da = memory.view(*y.shape[:-1], -1)
            grad_h = _through_time(plan, kernel, d, saved, y, initial, weights, given, grad_initial, da)
            kernel.products(x, initial[0], weights[0].contiguous(), y, da, of_direction, grad_x)
        grad_weights += [of_direction[k] for k in range(4) if weights[k] is not None]
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
    rows, size, has_cell_state = y.shape[:-1], plan.hidden_size, saved.c_0 is not None
    gates = saved.gates[d].contiguous() if saved.gates else None
    kept = saved.kept[d].contiguous() if saved.kept else None
    traced = given[3:]
    gate_cotangent = traced[d] if traced else None
    cell_cotangent = traced[plan.num_directions + d] if traced and has_cell_state else None
    wants_all = any(not total.are_norms_only for total in plan.totals)
    wants_norms = any(total.are_norms_only for total in plan.totals)
    grad_h = y.new_empty(*rows, plan.state_size) if wants_all or plan.proj_size else None
    grad_c = y.new_empty(*rows, size) if wants_all and has_cell_state else None
    norm_h = y.new_empty(rows, dtype=torch.float64) if wants_norms else None
    norm_c = y.new_empty(rows, dtype=torch.float64) if wants_norms and has_cell_state else None
    kernel.backward(
        (given[0], given[1], given[2]),
        None if gate_cotangent is None else gate_cotangent.contiguous(),
        None if cell_cotangent is None else cell_cotangent.contiguous(),
        initial,
        weights[1].contiguous(),
        None if weights[4] is None else weights[4].contiguous(),
        y,
        gates,
        kept,
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


def _empty_like(weights: tuple[Tensor | None, ...], needs: list[bool]) -> WeightGradients:
    """Return memory for the gradients of W_ih, W_hh, b_ih, b_hh, None for those that are not needed or not there."""
    there = [*needs[:2], *(needs[2:4] if weights[2] is not None else (False, False))]
    made = (
        torch.empty_like(weight, memory_format=torch.contiguous_format) if weight is not None and is_needed else None
        for weight, is_needed in zip(weights, there, strict=True)
    )
    return WeightGradients(*made)


def _projection_gradient(plan: Plan, saved: Saved, d: int, grad_h: Tensor | None) -> Tensor | None:
    """Return dW_hr = sum over the rows of dh_t m_t^T, m = o * tanh(c_t)."""
    if grad_h is None:
        return None
    m = saved.gates[d][..., 3 * plan.hidden_size :] * saved.kept[d].tanh()
    return grad_h.reshape(-1, plan.proj_size).t() @ m.reshape(-1, plan.hidden_size)


def with_contiguous_rows(tensor: Tensor) -> Tensor:
    """Return the tensor itself if its last axis is contiguous, else a copy; of one number expanded, only of a row."""
    if tensor.stride(-1) == 1 or tensor.shape[-1] == 1:
        return tensor
    if not any(tensor.stride()):  # the gradient of a sum
        return tensor[(0,) * (tensor.dim() - 1)].contiguous().expand(tensor.shape)
    return tensor.contiguous()
