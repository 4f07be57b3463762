"""Memory that the kernels work in, kept from call to call.

The allocator hands freed megabytes back to the system, and fetching their pages again took up to half of a training
step of one millisecond. So every thread keeps what it used last.
"""

from __future__ import annotations

import threading
from typing import Literal

import torch
from torch import Tensor

KEPT_BYTES = 16 * 2**20  # of each kind and dtype; what is larger computes for so long that its pages do not matter

Use = Literal["workspace", "preactivation gradients"]  # what is needed at the same time


class _Kept(threading.local):
    def __init__(self) -> None:
        self.tensors: dict[tuple[Use, torch.dtype], Tensor] = {}


_kept = _Kept()


def scratch(use: Use, elements: int, dtype: torch.dtype) -> Tensor:
    """Return memory (elements,), aligned to 64 bytes, whatever it holds; the next call for `use` gets it too."""
    tensor = _kept.tensors.get((use, dtype))
    if tensor is None or tensor.numel() < elements:
        tensor = torch.empty(elements, dtype=dtype, device="cpu")
        if tensor.nbytes <= KEPT_BYTES:
            _kept.tensors[use, dtype] = tensor
    return tensor[:elements]
