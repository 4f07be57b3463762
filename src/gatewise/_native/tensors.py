"""Which tensors the kernels can read."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Parameter

import gatewise._core as _core

RowShapes = tuple[tuple[tuple[int, ...], ...], ...]  # of the tensors of some rows

_HAS_TABLE = _core.has_exchange_table()  # torch has it since 2.10


def are_plain(tensors: list[Tensor], dtype: torch.dtype) -> bool:
    """Whether all are tensors or parameters proper, dense, on the CPU, of float `dtype` and no negated views.

    Every call of a layer asks, and in Python the answer takes a tenth of what a small one takes altogether.
    """
    if _HAS_TABLE:
        return _core.are_plain(tensors, dtype == torch.float64)
    return all(is_plain(tensor, dtype) for tensor in tensors)


def are_plain_of_shapes(rows: list[list[Tensor]], shapes: RowShapes, dtype: torch.dtype) -> bool:
    """Whether all tensors of all rows are plain and have these shapes."""
    if _HAS_TABLE:
        return _core.are_plain_of_shapes(rows, shapes, dtype == torch.float64)
    return have_shapes(rows, shapes) and all(is_plain(tensor, dtype) for row in rows for tensor in row)


def have_shapes(rows: list[list[Tensor]], shapes: RowShapes) -> bool:
    """Whether all tensors of all rows have these shapes."""
    return tuple(tuple(tuple(tensor.shape) for tensor in row) for row in rows) == shapes


def is_plain(tensor: Tensor, dtype: torch.dtype) -> bool:
    """Whether `are_plain` holds of one tensor, for a torch without the table."""
    return (
        type(tensor) in (Tensor, Parameter)
        and tensor.dtype == dtype
        and tensor.is_cpu
        and tensor.layout == torch.strided
        and not tensor.is_neg()
        and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
        and not torch._is_functional_tensor(tensor)
        and not tensor._is_zerotensor()
    )
