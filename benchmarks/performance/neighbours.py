"""Beside other busy processes: how long a call takes when it does not have the machine to itself.

The neighbours spin, each on a core wherever the system puts them. They are stopped and go on with signals, so that
quiet and busy turns alternate within one run.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from gatewise.bench import GRID, JOBS, Claim, Contestant, LayerPair, Point, take_turns
from performance.table import Part, Table

TARGETS = {1: 2.5, 2: 4.0}
SIZES = (GRID[1], GRID[4], GRID[5])


@contextmanager
def spinning(number: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Yield stopped processes that do nothing but compute once they are let go."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextmanager
def let_go(processes: list[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Let them compute meanwhile."""
    for process in processes:
        process.send_signal(signal.SIGCONT)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGSTOP)


def measure(part: Part) -> Iterator[Point]:
    with spinning(max(TARGETS)) as neighbours:
        for size in SIZES:
            if size not in part.sizes:
                continue
            pair = LayerPair(part.cell, size)
            for job in JOBS:
                quiet = pair.contestants(job)
                busy = [
                    Contestant(f"{c.name}, {n} busy", c.run, lambda n=n: let_go(neighbours[:n]))
                    for c in quiet
                    for n in TARGETS
                ]
                yield Point(
                    cell=part.cell,
                    size=size,
                    job=job,
                    samples=take_turns([*quiet, *busy], part.pace),
                    claims=tuple(
                        Claim(of=f"{name}, {n} busy", over=name, bound="at most", target=target if is_ours else None)
                        for name, is_ours in (("gatewise", True), ("torch.nn", False))
                        for n, target in TARGETS.items()
                    ),
                )


TABLE = Table(
    "neighbours",
    "Beside busy processes",
    "The time beside one and two processes that spin, over the quiet time. The target is at most 2.5 and 4 times; "
    "torch.nn's own figures stand beside.",
    measure,
)
