"""Computing on one thread for a while."""

from __future__ import annotations

from contextlib import AbstractContextManager

from gatewise import _native


def one_thread() -> AbstractContextManager[int]:
    """Let torch use one thread: on matrices of some 50 rows a second one costs more than it brings.

    Measured on a busy machine: nine networks of 5000 parameters took `gatewise flow` 63 s of computing on two threads,
    9 s on one.
    """
    return _native.num_threads(1)
