"""Processes that train, one thread each: how they are started, interrupted and ended."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnContext

import torch


def process_context() -> SpawnContext:
    """Return how processes are made: anew, since forking after torch has started threads may hang."""
    return multiprocessing.get_context("spawn")


def start_process() -> None:
    """Prepare this process: one thread, and an end when the main process ends."""
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    # What the monitor has to say goes into the record; the screen is for the main process.
    logging.getLogger("gatewise").addHandler(logging.NullHandler())


def _exit_with_parent() -> None:
    """End this process when the main process dies: killed, that cannot say `stop`, and a worker would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back while processes are started: they inherit that and leave the answer to the main process.

    Ignoring the signal instead would lose one that comes in these moments; held back, it arrives afterwards.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
