"""The native layer as operators of torch.library: what torch.compile and torch.export put into their graphs.

Eager calls do without them, since an operator costs 13 to 34 microseconds more than a node of autograd. Shapes as in
`function.py`; where a layer has no cell state or keeps nothing, an empty tensor stands for it; directions are stacked.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gatewise._native import StepShape
from gatewise.nn.call import check_lengths
from gatewise.nn.form import kind_of
from gatewise.nn.native.gradients import Saved, undisturbed
from gatewise.nn.native.gradients import gradients as gradients_of
from gatewise.nn.native.kernels import forward
from gatewise.nn.native.plan import Plan
from gatewise.nn.weights import equations_of_mode

Outputs = tuple[Tensor, Tensor, Tensor, Tensor]  # y, h_n, c_n, kept (D, rows, (G+1)*H)


def run_operator(
    plan: Plan, x: Tensor, h_0: Tensor | None, c_0: Tensor | None, flat: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return y, h_n, c_n of one layer, as one operator of the graph that is being made."""
    initial, lengths = plan.initial_state(x, h_0, c_0), plan.shape.lengths
    y, h_n, c_n, _ = recurrent_layer(
        plan.kind.mode,
        x,
        initial.hidden,
        initial.cell,
        list(flat),
        lengths,
        plan.kind.has_bias,
        plan.kind.proj_size,
        torch.is_grad_enabled(),
    )
    return y, h_n, None if initial.cell is None else c_n


@torch.library.custom_op("gatewise::recurrent_layer", mutates_args=())
def recurrent_layer(
    mode: str,
    x: Tensor,
    h_0: Tensor,
    c_0: Tensor | None,
    weights: list[Tensor],
    lengths: Tensor | None,
    has_bias: bool,
    proj_size: int,
    is_kept: bool,
) -> Outputs:
    """Run all directions of one layer on x (T, N, I) and keep what backward needs, if there is to be one."""
    lengths = _checked(lengths, x)
    plan = _plan(mode, x, h_0, weights, lengths, has_bias, proj_size)
    y, h_n, c_n, (_, kept) = forward(plan, x, h_0, c_0, tuple(weights), is_kept=is_kept)
    return y, h_n, x.new_empty(0) if c_n is None else c_n, torch.stack(kept) if kept else x.new_empty(0)


@recurrent_layer.register_fake
def _(
    mode: str,
    x: Tensor,
    h_0: Tensor,
    c_0: Tensor | None,
    weights: list[Tensor],
    lengths: Tensor | None,
    has_bias: bool,
    proj_size: int,
    is_kept: bool,
) -> Outputs:
    (num_steps, num_sequences, _), (directions, _, state_size) = x.shape, h_0.shape
    hidden_size = weights[0].shape[0] // equations_of_mode(mode).num_blocks
    keeps = is_kept and bool(equations_of_mode(mode).gate_names)
    kept_size = weights[0].shape[0] + hidden_size
    return (
        x.new_empty(num_steps, num_sequences, directions * state_size),
        h_0.new_empty(directions, num_sequences, state_size),
        x.new_empty(0) if c_0 is None else c_0.new_empty(directions, num_sequences, hidden_size),
        x.new_empty(directions, num_steps, num_sequences, kept_size) if keeps else x.new_empty(0),
    )


@torch.library.custom_op("gatewise::recurrent_layer_backward", mutates_args=())
def recurrent_layer_backward(
    mode: str,
    x: Tensor,
    h_0: Tensor,
    c_0: Tensor | None,
    weights: list[Tensor],
    lengths: Tensor | None,
    has_bias: bool,
    proj_size: int,
    y: Tensor,
    kept: Tensor,
    grad_y: Tensor | None,
    grad_h_n: Tensor | None,
    grad_c_n: Tensor | None,
) -> list[Tensor]:
    """Return the gradients of x, h_0, c_0 and the weights; empty for a cell state that is not there."""
    if equations_of_mode(mode).gate_names and not kept.numel():
        raise RuntimeError(
            "this graph was made without grad mode and kept nothing for backward; compile or export with grad enabled"
        )
    plan = _plan(mode, x, h_0, weights, _checked(lengths, x), has_bias, proj_size)
    saved = Saved(x, h_0, c_0, tuple(weights), y, list(kept.unbind()) if kept.numel() else [])
    needed = (True, True, c_0 is not None, *(True for _ in weights))
    with undisturbed():
        found = gradients_of(plan, saved, (grad_y, grad_h_n, None if c_0 is None else grad_c_n), needed)
    return [x.new_empty(0) if gradient is None else gradient for gradient in found]


@recurrent_layer_backward.register_fake
def _(
    mode: str,
    x: Tensor,
    h_0: Tensor,
    c_0: Tensor | None,
    weights: list[Tensor],
    lengths: Tensor | None,
    has_bias: bool,
    proj_size: int,
    y: Tensor,
    kept: Tensor,
    grad_y: Tensor | None,
    grad_h_n: Tensor | None,
    grad_c_n: Tensor | None,
) -> list[Tensor]:
    states = [h_0.new_empty(h_0.shape), x.new_empty(0) if c_0 is None else c_0.new_empty(c_0.shape)]
    return [x.new_empty(x.shape), *states, *(weight.new_empty(weight.shape) for weight in weights)]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Outputs) -> None:
    mode, x, h_0, c_0, weights, lengths, has_bias, proj_size, _ = inputs
    y, _, _, kept = output
    ctx.options = mode, has_bias, proj_size, c_0 is not None, lengths is not None
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x, h_0, y, kept, *_given(c_0), *_given(lengths), *weights)


def _backward(ctx: Any, grad_y: Tensor | None, grad_h_n: Tensor | None, grad_c_n: Tensor | None, *_: Any) -> Any:
    mode, has_bias, proj_size, has_cell_state, has_lengths = ctx.options
    x, h_0, y, kept, *rest = ctx.saved_tensors
    c_0 = rest.pop(0) if has_cell_state else None
    lengths = rest.pop(0) if has_lengths else None
    grad_x, grad_h_0, grad_c_0, *grad_weights = recurrent_layer_backward(
        mode, x, h_0, c_0, rest, lengths, has_bias, proj_size, y, kept, grad_y, grad_h_n, grad_c_n
    )
    return None, grad_x, grad_h_0, grad_c_0 if has_cell_state else None, grad_weights, None, None, None, None


recurrent_layer.register_autograd(_backward, setup_context=_keep)


def _plan(
    mode: str, x: Tensor, h_0: Tensor, weights: list[Tensor], lengths: Tensor | None, has_bias: bool, proj_size: int
) -> Plan:
    equations, (num_steps, num_sequences, _) = equations_of_mode(mode), x.shape
    hidden_size = weights[0].shape[0] // equations.num_blocks
    shape = StepShape(num_steps, num_sequences, lengths)
    return Plan(kind_of(mode, len(h_0), has_bias, hidden_size, proj_size), shape, first_row=0)


def _checked(lengths: Tensor | None, x: Tensor) -> Tensor | None:
    """Look at the lengths, which were not known when the graph was made."""
    return None if lengths is None else check_lengths(lengths, len(x), x.shape[1], is_batched=True)


def _given(tensor: Tensor | None) -> list[Tensor]:
    return [] if tensor is None else [tensor]
