"""Checks of what the user gives to a measure."""

from __future__ import annotations

import operator
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import Module, RNNBase

from gatewise.nn import Trace


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


def require_model(model: object) -> None:
    """Raise TypeError unless `model` is a torch module."""
    if not isinstance(model, Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")


def require_trace(trace: object) -> None:
    """Raise TypeError unless `trace` is one."""
    if not isinstance(trace, Trace):
        raise TypeError(f"trace must be a gatewise.nn.Trace, as layer.trace(x) returns, got {type(trace).__name__}")


def require_sequences(num_sequences: int) -> None:
    """Raise ValueError where a batch is empty."""
    if not num_sequences:
        raise ValueError("inputs must hold at least one sequence, got none")


def whole_number(name: str, value: object) -> int:
    """Return an int of Python, NumPy or torch as int; nothing is rounded."""
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None


def whole_numbers(name: str, values: object) -> list[int]:
    """Return several as ints."""
    if not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a sequence of whole numbers, got {values!r}")
    return [whole_number(name, value) for value in values]
