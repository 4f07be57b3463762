"""Beside other busy processes: how long a call takes when it does not have the machine to itself.

The neighbours spin, each on a core wherever the system puts them. They are stopped and go on with signals, so that
quiet and busy turns alternate within one run. A turn lasts for a fifth of a second, as work beside neighbours does:
the system hands out cores for milliseconds at a time. Training starts from a given gradient of the output, since a sum
would be torch's own parallel operator, with its own wait.
"""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.nn import RNNBase

from gatewise.bench import GRID, JOBS, Claim, Contestant, Job, LayerPair, Point, take_turns
from performance.table import Part, Table

TARGETS = {1: 2.5, 2: 4.0}
SIZES = (GRID[1], GRID[4], GRID[5])
TURN_S = 0.2


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


def job_of(pair: LayerPair, layer: RNNBase, job: Job) -> Callable[[], object]:
    """Return the layer's inference, or its training step from a given gradient of the output."""
    x = pair.input_of(job)
    if job == "inference":

        def infer() -> None:
            with torch.no_grad():
                layer(x)

        return infer
    gradient = torch.randn(*x.shape[:2], layer.hidden_size)

    def train() -> None:
        for tensor in (x, *layer.parameters()):
            tensor.grad = None
        layer(x)[0].backward(gradient)

    return train


def seconds_of(run: Callable[[], object]) -> float:
    run()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def repeated(run: Callable[[], object], times: int) -> Callable[[], None]:
    def runs() -> None:
        for _ in range(times):
            run()

    return runs


def measure_point(part: Part, pair: LayerPair, job: Job, neighbours: list[subprocess.Popen[bytes]]) -> Point:
    pair.contestants(job)  # they agree
    runs = {"torch.nn": job_of(pair, pair.theirs, job), "gatewise": job_of(pair, pair.ours, job)}
    times = {name: math.ceil(TURN_S / seconds_of(run)) for name, run in runs.items()}
    contestants = [
        Contestant(f"{name}, {n} busy" if n else name, repeated(run, times[name]), lambda n=n: let_go(neighbours[:n]))
        for name, run in runs.items()
        for n in (0, *TARGETS)
    ]
    samples = take_turns(contestants, part.pace)
    return Point(
        cell=part.cell,
        size=pair.size,
        job=job,
        samples={name: [s / times[name.split(",")[0]] for s in taken] for name, taken in samples.items()},
        claims=tuple(
            Claim(of=f"{name}, {n} busy", over=name, bound="at most", target=target if is_ours else None)
            for name, is_ours in (("gatewise", True), ("torch.nn", False))
            for n, target in TARGETS.items()
        ),
    )


def measure(part: Part) -> Iterator[Point]:
    with spinning(max(TARGETS)) as neighbours:
        for size in SIZES:
            if size in part.sizes:
                pair = LayerPair(part.cell, size)
                for job in JOBS:
                    yield measure_point(part, pair, job, neighbours)


TABLE = Table(
    "neighbours",
    "Beside busy processes",
    "The time beside one and two processes that spin, over the quiet time. The target is at most 2.5 and 4 times; "
    "torch.nn's own figures stand beside. Training starts from a given gradient of the output.",
    measure,
)
