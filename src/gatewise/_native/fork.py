"""torch's operators in a forked child, where the threads of the parent's OpenMP runtime do not exist."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_is_forked_child = False


@contextmanager
def serial_in_forked_child() -> Iterator[None]:
    """Let torch's operators use one thread if this process is a forked child, where more of them wait for ever."""
    count = torch.get_num_threads()
    if not _is_forked_child or count == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(count)


def _after_fork() -> None:
    global _is_forked_child
    _is_forked_child = True


os.register_at_fork(after_in_child=_after_fork)
