"""Checks of what the user gives to a measure."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import RNNBase


def checked_stack(jacobians: Tensor) -> Tensor:
    """Return Jacobians (T, S, S) in float64, apart from any graph, or say what is wrong with them."""
    stack = torch.as_tensor(jacobians).detach()
    if stack.dim() != 3 or stack.shape[1] != stack.shape[2] or not stack.numel() or stack.is_complex():
        raise ValueError(f"jacobians must be real and have shape (T, S, S), got {stack.dtype} of {tuple(stack.shape)}")
    is_broken = ~stack.isfinite().flatten(1).all(dim=1)
    if is_broken.any():
        raise ValueError(f"jacobians must be finite, got NaN or infinity in number {int(is_broken.nonzero()[0])}")
    return stack.double()


def require_recurrent(layer: object) -> None:
    """Raise TypeError unless `layer` is a recurrent layer itself."""
    if not isinstance(layer, RNNBase):
        raise TypeError(f"layer must be an RNN, LSTM or GRU of torch.nn or gatewise, got {type(layer).__name__}")
