"""One layer, all its directions, as one node of the autograd graph.

Shapes: ``rows`` stands for (T, N), and for (R,) where the call is packed; N sequences, I inputs, H hidden units,
P projection (P = H without one), D directions, G gates.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from gatewise.nn.native.gradients import Saved, undisturbed
from gatewise.nn.native.gradients import gradients as gradients_of
from gatewise.nn.native.kernels import forward
from gatewise.nn.native.plan import Plan
from gatewise.nn.native.recompute import differentiable_gradients


class LayerResult(NamedTuple):
    """What a layer returns."""

    output: Tensor  # (rows, D*P)
    h_n: Tensor  # (D, N, P)
    c_n: Tensor | None  # (D, N, H)
    gates: list[Tensor]  # (rows, G*H) a direction; only if they were kept
    cells: list[Tensor]  # (rows, H) a direction; LSTM only, and as gates


def run_layer(plan: Plan, x: Tensor, h_0: Tensor, c_0: Tensor | None, flat: tuple[Tensor, ...]) -> LayerResult:
    """Run all directions of one layer on x (rows, I) from h_0, c_0 (D, N, ...) with the weights `flat`."""
    if torch.compiler.is_compiling():
        if plan.tracing != "none" or plan.totals:
            raise RuntimeError("the operator of compiled graphs hands out no gates and no total gradients")
        # Here, since torch.library's machinery takes a second to import.
        from gatewise.nn.native.operator import run_operator

        return LayerResult(*run_operator(plan, x, h_0, c_0, flat), [], [])
    inputs = (x, h_0, *flat) if c_0 is None else (x, h_0, c_0, *flat)
    if not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)):
        y, h_n, c_n, gates, kept = forward(plan, x, h_0, c_0, flat, is_kept=plan.tracing != "none")
        return LayerResult(y, h_n, c_n, gates, kept if c_0 is not None else [])
    y, h_n, c_n, *more = _LayerFunction.apply(plan, x, h_0, c_0, *flat)  # type: ignore[no-untyped-call]
    num_gates = plan.num_directions if more else 0
    return LayerResult(y, h_n, c_n, more[:num_gates], more[num_gates:])


class _LayerFunction(Function):
    """y, h_n, c_n, and where traced the gates and cell states of each direction, of x, h_0, c_0 and the weights."""

    @staticmethod
    def forward(
        ctx: Any, plan: Plan, x: Tensor, h_0: Tensor, c_0: Tensor | None, *flat: Tensor
    ) -> tuple[Tensor | None, ...]:
        """Run the kernels and keep what backward needs."""
        y, h_n, c_n, gates, kept = forward(plan, x, h_0, c_0, flat, is_kept=True)
        ctx.plan = plan
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, h_0, c_0, *flat, y, *gates, *kept)
        if plan.tracing == "none":
            return y, h_n, c_n
        more = gates + (kept if plan.equations.has_cell_state else [])
        if plan.tracing == "values":
            ctx.mark_non_differentiable(*more)
        return y, h_n, c_n, *more

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the gradients of all arguments of forward."""
        plan: Plan = ctx.plan
        x, h_0, c_0, *rest = ctx.saved_tensors
        flat, y, kept = tuple(rest[: plan.num_weights]), rest[plan.num_weights], rest[plan.num_weights + 1 :]
        needed = ctx.needs_input_grad[1:]
        are_batched = _are_batched(cotangents)
        if are_batched and plan.totals:
            raise RuntimeError("a recording cannot hold batched gradients (is_grads_batched, vectorize=True)")
        if torch.is_grad_enabled() or are_batched:
            with torch.enable_grad():
                return None, *differentiable_gradients(plan, x, h_0, c_0, flat, cotangents, needed)
        half = len(kept) // 2
        saved = Saved(x, h_0, c_0, flat, y, kept[:half], kept[half:])
        with undisturbed():
            return None, *gradients_of(plan, saved, cotangents, needed)


def _are_batched(cotangents: tuple[Tensor | None, ...]) -> bool:
    """Whether the cotangents hide a further axis (is_grads_batched, vectorize=True), which kernels cannot see."""
    functorch, legacy = torch._C._functorch.is_batchedtensor, torch._C._functorch.is_legacy_batchedtensor
    return any(tensor is not None and (functorch(tensor) or legacy(tensor)) for tensor in cotangents)
