"""The scalar that a user's loss function makes of a model's output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor


def scalar_loss(loss_fn: Callable[[Any], Tensor], output: Any) -> Tensor:
    """Return ``loss_fn(output)``, or say what keeps a gradient from being taken of it."""
    loss = loss_fn(output)
    if not isinstance(loss, Tensor):
        raise TypeError(f"loss_fn must return a tensor, got {type(loss).__name__}")
    if loss.numel() != 1:
        raise ValueError(f"loss_fn must return a scalar, got shape {tuple(loss.shape)}")
    if loss.is_complex():
        raise ValueError(f"loss_fn must return a real number, got {loss.dtype}")
    if not loss.requires_grad:
        raise ValueError("loss_fn must return a differentiable function of the output; its result requires no gradient")
    return loss
