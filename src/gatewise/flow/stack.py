"""Stacks of Jacobians that come from the user."""

from __future__ import annotations

import torch
from torch import Tensor


def checked_stack(jacobians: Tensor) -> Tensor:
    """Return Jacobians (T, S, S) in float64, apart from any graph, or say what is wrong with them."""
    stack = torch.as_tensor(jacobians).detach()
    if stack.dim() != 3 or stack.shape[1] != stack.shape[2] or not stack.numel() or stack.is_complex():
        raise ValueError(f"jacobians must be real and have shape (T, S, S), got {stack.dtype} of {tuple(stack.shape)}")
    is_broken = ~stack.isfinite().flatten(1).all(dim=1)
    if is_broken.any():
        raise ValueError(f"jacobians must be finite, got NaN or infinity in number {int(is_broken.nonzero()[0])}")
    return stack.double()
