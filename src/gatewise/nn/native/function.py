"""One layer, all its directions, as one node of the autograd graph.

Shapes: ``rows`` stands for (T, N), and for (R,) where the call is packed; N sequences, I inputs, H hidden units,
P projection (P = H without one), D directions, G gates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function, forward_ad

from gatewise.nn.native.gradients import Saved, undisturbed
from gatewise.nn.native.gradients import gradients as gradients_of
from gatewise.nn.native.kernels import LayerResult, LayerValues, forward
from gatewise.nn.native.plan import Plan
from gatewise.nn.native.recompute import differentiable_gradients


def run_layer(plan: Plan, x: Tensor, h_0: Tensor | None, c_0: Tensor | None, flat: tuple[Tensor, ...]) -> LayerResult:
    """Run all directions of one layer on x (rows, I) from h_0, c_0 (D, N, ...), None: zeros, with its weights."""
    if torch.compiler.is_compiling():
        if plan.tracing != "none" or plan.totals:
            raise RuntimeError("the operator of compiled graphs hands out no gates and no total gradients")
        # Here, since torch.library's machinery takes a second to import.
        from gatewise.nn.native.operator import run_operator

        y, h_n, c_n = run_operator(plan, x, h_0, c_0, flat)
        return LayerResult(y, h_n, c_n, LayerValues(y, []))
    if not (torch.is_grad_enabled() and _requires_grad(x, h_0, c_0, *flat)):
        return forward(plan, x, h_0, c_0, flat, is_kept=plan.tracing != "none")
    values: list[LayerValues] = []
    y, h_n, c_n, *nodes = _apply(plan, values, x, h_0, c_0, *flat)
    return LayerResult(y, h_n, c_n, values[0] if values else LayerValues(y, nodes))


def _requires_grad(*tensors: Tensor | None) -> bool:
    # A loop: `any` over a generator takes longer, and every call comes here.
    for tensor in tensors:  # noqa: SIM110
        if tensor is not None and tensor.requires_grad:
            return True
    return False


class _LayerFunction(Function):
    """y, h_n, c_n, and for a graph what is kept of each direction, of x, h_0, c_0 and the weights."""

    @staticmethod
    def forward(
        ctx: Any,
        plan: Plan,
        values: list[LayerValues],
        x: Tensor,
        h_0: Tensor | None,
        c_0: Tensor | None,
        *flat: Tensor,
    ) -> tuple[Tensor | None, ...]:
        """Run the kernels and keep what backward needs; where values are wanted, `values` gets them."""
        y, h_n, c_n, computed = forward(plan, x, h_0, c_0, flat, is_kept=True)
        ctx.plan = plan
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, h_0, c_0, *flat, y, *computed.kept)
        if plan.tracing == "graph":
            return y, h_n, c_n, *computed.kept
        if plan.tracing == "values":
            # As results that need no gradient they would take longer (docs/kernels.md, "Recording").
            values.append(computed)
        return y, h_n, c_n

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the gradients of all arguments of forward."""
        plan: Plan = ctx.plan
        x, h_0, c_0, *rest = ctx.saved_tensors
        num_weights = plan.num_weights
        flat, y, kept = tuple(rest[:num_weights]), rest[num_weights], rest[num_weights + 1 :]
        needed = ctx.needs_input_grad[2:]
        are_batched = _are_batched(cotangents)
        if are_batched and plan.wanted_totals():
            raise RuntimeError("a recording cannot hold batched gradients (is_grads_batched, vectorize=True)")
        if torch.is_grad_enabled() or are_batched or forward_ad._current_level >= 0:
            with torch.enable_grad():
                return None, None, *differentiable_gradients(plan, x, h_0, c_0, flat, cotangents, needed)
        with undisturbed():
            return None, None, *gradients_of(plan, Saved(x, h_0, c_0, flat, y, kept), cotangents, needed)


# Function's own apply looks for transforms of torch.func and for wrappers that they left; `choose_path`, which whoever
# calls this has asked, found neither.
_apply: Callable[..., Any] = super(Function, _LayerFunction).apply


def _are_batched(cotangents: tuple[Tensor | None, ...]) -> bool:
    """Whether the cotangents hide a further axis (is_grads_batched, vectorize=True), which kernels cannot see.

    Raises
    ------
    RuntimeError
        Where another transform of torch.func has wrapped them.
    """
    is_wrapped, is_legacy = torch._C._functorch.is_functorch_wrapped_tensor, torch._C._functorch.is_legacy_batchedtensor
    for tensor in cotangents:
        if tensor is None:
            continue
        if is_legacy(tensor):
            return True
        if is_wrapped(tensor):
            if torch._C._functorch.is_batchedtensor(tensor):
                return True
            raise RuntimeError(
                "inside a transform of torch.func the gradient of a call made outside it cannot be taken; "
                "call the layer inside the transform too"
            )
    return False
