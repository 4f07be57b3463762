"""Computing on one thread for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread: on matrices of some 50 rows a second one costs more than it brings.

    Measured on a busy machine: nine networks of 5000 parameters took `gatewise flow` 63 s of computing on two threads,
    9 s on one.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
