"""The native path: each layer is one autograd node around the fused kernels of the native core.

Between the layers stands torch.nn's dropout. What is parallel over time in backward (the gradients of weights, biases
and input) is a handful of matrix products of torch; a backward that must itself be differentiable recomputes the layer
on the composite path.

Shapes: T steps, N sequences, I inputs, H hidden units, G blocks of H rows in the weights, L layers, D directions.
"""

from __future__ import annotations

import operator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import RNNBase

from gatewise import _native
from gatewise.cells import Cell, State, Weights
from gatewise.nn import ragged
from gatewise.nn.call import Call
from gatewise.nn.composite import run_direction
from gatewise.nn.weights import equations_of, given_weights, num_directions

LayerResult = tuple[Tensor, Tensor, Tensor | None]  # y (T, N, D*H), h_n (D, N, H), c_n (D, N, H)
Kept = tuple[Tensor, Tensor] | None  # what the kernel kept of one direction for backward


class _Plan(NamedTuple):
    """What a layer computes, beside its tensors."""

    mode: str
    equations: Cell
    directions: int  # D
    has_bias: bool
    lengths: Tensor | None

    @property
    def weights_per_direction(self) -> int:
        return 4 if self.has_bias else 2

    def weights(self, flat: tuple[Tensor, ...], direction: int) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Return (W_ih, W_hh, b_ih, b_hh) of one direction."""
        w_ih, w_hh, *biases = flat[direction * self.weights_per_direction :][: self.weights_per_direction]
        b_ih, b_hh = biases or (None, None)
        return w_ih, w_hh, b_ih, b_hh


def run_native(layer: RNNBase, call: Call) -> tuple[Tensor, State]:
    """Compute `call`: output (T, N, D*H), zero past each end, and the final states (L*D, N, H)."""
    directions = num_directions(layer)
    plan = _Plan(layer.mode, equations_of(layer), directions, layer.bias, call.lengths)
    output, hidden, cell = call.inputs, [], []
    for index in range(layer.num_layers):
        if index > 0 and layer.dropout > 0 and layer.training:
            output = ragged.dropout(output, layer.dropout, call.lengths, call.packed)
        rows = slice(index * directions, (index + 1) * directions)
        flat = tuple(weight for row in range(rows.start, rows.stop) for weight in given_weights(layer, row))
        initial = call.initial if layer.num_layers == 1 else call.initial.map(operator.itemgetter(rows))
        output, h_n, c_n = _run_layer(plan, output, initial.hidden, initial.cell, flat)
        hidden.append(h_n)
        cell += [] if c_n is None else [c_n]
    return output, State(_joined(hidden), _joined(cell) if cell else None)


def _joined(states: list[Tensor]) -> Tensor:
    return states[0] if len(states) == 1 else torch.cat(states)


def _run_layer(plan: _Plan, x: Tensor, h_0: Tensor, c_0: Tensor | None, flat: tuple[Tensor, ...]) -> LayerResult:
    """Run all directions of one layer on x (T, N, I) from h_0, c_0 (D, N, H)."""
    inputs = (x, h_0, *flat) if c_0 is None else (x, h_0, c_0, *flat)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs):
        result: LayerResult = _LayerFunction.apply(plan, x, h_0, c_0, *flat)  # type: ignore[no-untyped-call]
        return result
    return _forward(plan, x, h_0, c_0, flat, is_kept=False)[0]


class _LayerFunction(Function):
    """One layer, all its directions: y, h_n, c_n of x, h_0, c_0 and the weights."""

    @staticmethod
    def forward(ctx: Any, plan: _Plan, x: Tensor, h_0: Tensor, c_0: Tensor | None, *flat: Tensor) -> LayerResult:
        """Run the kernels and keep what backward needs."""
        (y, h_n, c_n), kept = _forward(plan, x, h_0, c_0, flat, is_kept=True)
        ctx.plan = plan
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, h_0, c_0, *flat, y, *(tensor for pair in kept if pair for tensor in pair))
        return y, h_n, c_n

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the gradients of all arguments of forward."""
        plan: _Plan = ctx.plan
        num_weights = plan.directions * plan.weights_per_direction
        x, h_0, c_0, *rest = ctx.saved_tensors
        flat, y, kept = tuple(rest[:num_weights]), rest[num_weights], rest[num_weights + 1 :]
        needed = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled() or _are_batched(cotangents):
            with torch.enable_grad():
                return None, *_differentiable_gradients(plan, x, h_0, c_0, flat, cotangents, needed)
        # contiguous: hooks on saved tensors may hand back other strides than they got.
        x, y = _with_contiguous_rows(x), y.contiguous()
        pairs: list[Kept] = [
            (kept[2 * d].contiguous(), kept[2 * d + 1].contiguous()) if kept else None for d in range(plan.directions)
        ]
        with _native.serial_in_forked_child(), _without_autocast():
            return None, *_gradients(plan, x, h_0, c_0, flat, y, pairs, cotangents, needed)


def _are_batched(cotangents: tuple[Tensor | None, ...]) -> bool:
    """Whether the cotangents hide a further axis (is_grads_batched, vectorize=True), which kernels cannot see."""
    functorch, legacy = torch._C._functorch.is_batchedtensor, torch._C._functorch.is_legacy_batchedtensor
    return any(tensor is not None and (functorch(tensor) or legacy(tensor)) for tensor in cotangents)


def _without_autocast() -> AbstractContextManager[object]:
    """Keep autocast, where a user calls backward inside it, from rounding the products of backward."""
    return torch.autocast("cpu", enabled=False) if torch.is_autocast_enabled("cpu") else nullcontext()


def _forward(
    plan: _Plan, x: Tensor, h_0: Tensor, c_0: Tensor | None, flat: tuple[Tensor, ...], *, is_kept: bool
) -> tuple[LayerResult, list[Kept]]:
    """Call the kernel once a direction."""
    (num_steps, num_sequences, _), size = x.shape, h_0.shape[2]
    x, initial = _with_contiguous_rows(x), _initial(h_0, c_0)
    y = x.new_empty(num_steps, num_sequences, plan.directions * size)
    h_n = x.new_empty(plan.directions, num_sequences, size)
    c_n = None if c_0 is None else torch.empty_like(h_n)
    kept: list[Kept] = []
    for d in range(plan.directions):
        pair = None
        if is_kept and plan.equations.gate_names:
            blocks = plan.equations.num_blocks
            gates = x.new_empty(num_steps, num_sequences, blocks * size)
            pair = gates, x.new_empty(num_steps, num_sequences, size)
        w_ih, w_hh, b_ih, b_hh = plan.weights(flat, d)
        _native.forward(
            plan.mode,
            d,
            x,
            initial,
            (w_ih.contiguous(), w_hh.contiguous(), _contiguous(b_ih), _contiguous(b_hh)),
            y,
            (h_n, c_n),
            pair,
            plan.lengths,
        )
        kept.append(pair)
    return (y, h_n, c_n), kept


def _gradients(
    plan: _Plan,
    x: Tensor,
    h_0: Tensor,
    c_0: Tensor | None,
    flat: tuple[Tensor, ...],
    y: Tensor,
    kept: list[Kept],
    cotangents: tuple[Tensor | None, ...],
    needed: tuple[bool, ...],
) -> tuple[Tensor | None, ...]:
    """Return the gradients of x, h_0, c_0 and the weights, None where not needed."""
    needs_x, _, _, *needs_weights = needed
    num_steps, num_sequences, _ = x.shape
    size, is_gru = h_0.shape[2], plan.mode == "GRU"
    blocks = plan.equations.num_blocks * size
    rows = num_steps * num_sequences
    grad_x: Tensor | None = None
    grad_h_0 = torch.empty_like(h_0, memory_format=torch.contiguous_format)
    grad_c_0 = None if c_0 is None else torch.empty_like(grad_h_0)
    grad_weights: list[Tensor | None] = []
    clean_x = _without_padding(x, plan.lengths) if any(needs_weights) else x
    contiguous = tuple(None if tensor is None else _with_contiguous_rows(tensor.resolve_neg()) for tensor in cotangents)
    for d in range(plan.directions):
        w_ih, w_hh, *_ = plan.weights(flat, d)
        da = x.new_empty(num_steps, num_sequences, 4 * size if is_gru else blocks)
        _native.backward(
            plan.mode,
            d,
            (contiguous[0], contiguous[1], contiguous[2]),
            _initial(h_0, c_0),
            w_hh.contiguous(),
            y,
            kept[d],
            (da, grad_h_0, grad_c_0),
            plan.lengths,
        )
        # The GRU's da is dn dr dz r*dn: dn dr dz belong to W_ih, whose rows are r z n, and dr dz r*dn to W_hh.
        da_ih, da_hh = da.view(rows, -1)[:, :blocks], da[..., -blocks:]
        if needs_x:
            rolled = w_ih.roll(size, 0) if is_gru else w_ih
            grad_x = da_ih @ rolled if grad_x is None else grad_x.addmm_(da_ih, rolled)
        needs = needs_weights[d * plan.weights_per_direction :][: plan.weights_per_direction]
        grad_w_ih = da_ih.t() @ clean_x.reshape(rows, -1) if needs[0] else None
        y_d = y if plan.directions == 1 else y.chunk(2, dim=-1)[d]
        grad_w_hh = _recurrent_gradient(da_hh, y_d, h_0[d], plan.lengths, is_reverse=d == 1) if needs[1] else None
        biases: list[Tensor | None] = []
        if plan.has_bias and any(needs[2:]):
            total = da.view(rows, -1).sum(0)
            biases = [total[:blocks], total[-blocks:] if is_gru else total.clone()]
        elif plan.has_bias:
            biases = [None, None]
        if is_gru:
            grad_w_ih, biases[:1] = _rolled(grad_w_ih, size), [_rolled(bias, size) for bias in biases[:1]]
        grad_weights += [grad_w_ih, grad_w_hh, *biases]
    return None if grad_x is None else grad_x.view(x.shape), grad_h_0, grad_c_0, *grad_weights


def _rolled(gradient: Tensor | None, size: int) -> Tensor | None:
    """Bring the GRU's blocks n r z into the order r z n."""
    return None if gradient is None else gradient.roll(-size, 0)


def _recurrent_gradient(da: Tensor, y: Tensor, h_0: Tensor, lengths: Tensor | None, *, is_reverse: bool) -> Tensor:
    """Return dW_hh = sum over t, n of da_t h_{t-1}^T, for da (T, N, G*H), y (T, N, H) and h_0 (N, H).

    Past a sequence's end da and y are zero, so the steps can be taken all together; only the step that h_0 enters has
    its own place.
    """
    later, earlier = (da[:-1], y[1:]) if is_reverse else (da[1:], y[:-1])
    if not is_reverse:
        first = da[0]
    elif lengths is None:
        first = da[-1]
    else:
        ends = (lengths - 1).clamp(min=0)  # of an empty sequence da[0] is zero
        first = da[ends, torch.arange(len(ends), device=ends.device)]
    if lengths is not None:
        h_0 = h_0.masked_fill((lengths == 0).unsqueeze(-1), 0)  # an empty sequence's may be NaN, and 0 * NaN is NaN
    gradient = first.t() @ h_0
    if len(later):
        gradient.addmm_(later.reshape(-1, da.shape[-1]).t(), earlier.reshape(-1, y.shape[-1]))
    return gradient


def _differentiable_gradients(
    plan: _Plan,
    x: Tensor,
    h_0: Tensor,
    c_0: Tensor | None,
    flat: tuple[Tensor, ...],
    cotangents: tuple[Tensor | None, ...],
    needed: tuple[bool, ...],
) -> tuple[Tensor | None, ...]:
    """Return what `_gradients` does, as a differentiable function of all its tensors."""
    valid = None if plan.lengths is None else ragged.valid_steps(plan.lengths, len(x))
    # Aliases: an argument that is itself computed from another one must not take part in that one's gradient.
    x, h_0 = x.view_as(x), h_0.view_as(h_0)
    c_0 = None if c_0 is None else c_0.view_as(c_0)
    flat = tuple(weight.view_as(weight) for weight in flat)
    arguments = (x, h_0, c_0, *flat)
    inputs = x if valid is None else x.masked_fill(~valid.unsqueeze(-1), 0)
    runs = [
        run_direction(
            plan.equations,
            inputs,
            State(h_0[d], None if c_0 is None else c_0[d]),
            Weights(*plan.weights(flat, d)),
            valid,
            is_reverse=d == 1,
        )
        for d in range(plan.directions)
    ]
    results: list[Tensor | None] = [
        torch.cat([run.hidden for run in runs], dim=-1),
        torch.stack([run.final.hidden for run in runs]),
        None if c_0 is None else torch.stack([run.final.cell for run in runs if run.final.cell is not None]),
    ]
    pairs = [
        (result, cotangent)
        for result, cotangent in zip(results, cotangents, strict=True)
        if result is not None and cotangent is not None
    ]
    wanted = [tensor for tensor, is_needed in zip(arguments, needed, strict=True) if is_needed and tensor is not None]
    found = iter(
        torch.autograd.grad(
            [result for result, _ in pairs],
            wanted,
            [cotangent for _, cotangent in pairs],
            create_graph=True,
            allow_unused=True,
        )
    )
    return tuple(
        next(found) if is_needed and tensor is not None else None
        for tensor, is_needed in zip(arguments, needed, strict=True)
    )


def _initial(h_0: Tensor, c_0: Tensor | None) -> tuple[Tensor, Tensor | None]:
    return _with_contiguous_rows(h_0), None if c_0 is None else _with_contiguous_rows(c_0)


def _without_padding(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Return x (T, N, I) with zeros for padding, which may hold NaN: 0 * NaN would reach the weight gradients."""
    return x if lengths is None else x.masked_fill(~ragged.valid_steps(lengths, len(x)).unsqueeze(-1), 0)


def _with_contiguous_rows(tensor: Tensor) -> Tensor:
    """Return the tensor itself if its last axis is contiguous, else a copy."""
    return tensor if tensor.stride(-1) == 1 or tensor.shape[-1] == 1 else tensor.contiguous()


def _contiguous(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()
