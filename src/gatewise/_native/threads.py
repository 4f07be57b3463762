"""How many threads torch's operators and the kernels use for a while."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

_is_forked_child = False


@contextmanager
def num_threads(count: int | None) -> Iterator[int]:
    """Let torch and the kernels use `count` threads, None: as many as now; yield the number."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield count or before
    finally:
        torch.set_num_threads(before)


def is_forked_child() -> bool:
    """Whether this process was forked from one that had imported us."""
    return _is_forked_child


def serial_in_forked_child() -> AbstractContextManager[object]:
    """Let torch use one thread in a forked child: the threads of its parent do not exist there, and it would hang."""
    return num_threads(1) if _is_forked_child and torch.get_num_threads() > 1 else nullcontext()


def _after_fork() -> None:
    global _is_forked_child
    _is_forked_child = True


os.register_at_fork(after_in_child=_after_fork)
