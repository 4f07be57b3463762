"""Memory that the kernels work in, kept from call to call.

The allocator hands freed megabytes back to the system, and fetching their pages again took up to half of a training
step of one millisecond. So every thread keeps what it used last, and the allocator is taught to keep the rest: what a
layer returns and saves for backward.
"""

from __future__ import annotations

import threading
from functools import cache

import torch
from torch import Tensor

KEPT_BYTES = 16 * 2**20  # of each kind and dtype; what is larger computes for so long that its pages do not matter

# glibc's malloc gives freed memory back when there is twice as much as the largest block ever freed, among those of up
# to this size. Freeing one, unlike mallopt, changes nothing where the user has set a limit (MALLOC_TRIM_THRESHOLD_).
_LARGEST_COUNTED_BYTES = 32 * 2**20 - 2**16


@cache
def keep_freed_memory() -> None:
    """Let the allocator keep up to 64 MiB of freed memory for the next step.

    Once a process. The block that it takes is never touched, so it costs no memory itself.
    """
    torch.empty(_LARGEST_COUNTED_BYTES, dtype=torch.uint8, device="cpu")


class _Kept(threading.local):
    def __init__(self) -> None:
        self.workspaces: dict[torch.dtype, Tensor] = {}


_kept = _Kept()


def workspace(elements: int, dtype: torch.dtype) -> Tensor:
    """Return memory of at least so many elements, aligned to 64 bytes, for a single call of a kernel.

    The next call gets it too.
    """
    kept = _kept.workspaces.get(dtype)
    if kept is not None and kept.numel() >= elements:
        return kept
    keep_freed_memory()
    tensor = torch.empty(elements, dtype=dtype, device="cpu")
    if tensor.nbytes <= KEPT_BYTES:
        _kept.workspaces[dtype] = tensor
    return tensor
