"""Beside other busy processes: how long a call takes when it does not have the machine to itself.

The neighbours spin, each on a core wherever the system puts them. They are stopped and go on with signals, so that
quiet and busy turns alternate within one run. A turn lasts for a fifth of a second, as work beside neighbours does:
the system hands out cores for milliseconds at a time. Training starts from a given gradient of the output, since a sum
would be torch's own parallel operator, with its own wait.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.nn import RNNBase

from gatewise.bench import GRID, JOBS, Claim, Job, LayerPair, Point
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


def seconds_of_a_run(run: Callable[[], object], neighbours: list[subprocess.Popen[bytes]]) -> float:
    """Return the mean over as many runs as a turn takes; torch.nn may need a second for one step."""
    with let_go(neighbours):
        run()
        num_runs, start = 0, time.perf_counter()
        while time.perf_counter() - start < TURN_S:
            run()
            num_runs += 1
        return (time.perf_counter() - start) / num_runs


def measure_point(part: Part, pair: LayerPair, job: Job, neighbours: list[subprocess.Popen[bytes]]) -> Point:
    pair.contestants(job)  # they agree
    runs = {"torch.nn": job_of(pair, pair.theirs, job), "gatewise": job_of(pair, pair.ours, job)}
    turns = [(name, number) for name in runs for number in (0, *TARGETS)]
    samples: dict[str, list[float]] = {label(*turn): [] for turn in turns}
    shuffle = random.Random(0).shuffle
    for _ in range(part.pace.min_rounds):
        shuffle(turns)
        for name, number in turns:
            samples[label(name, number)].append(seconds_of_a_run(runs[name], neighbours[:number]))
    return Point(
        cell=part.cell,
        size=pair.size,
        job=job,
        samples=samples,
        claims=tuple(
            Claim(of=label(name, n), over=name, bound="at most", target=target if is_ours else None)
            for name, is_ours in (("gatewise", True), ("torch.nn", False))
            for n, target in TARGETS.items()
        ),
    )


def label(name: str, num_busy: int) -> str:
    return f"{name}, {num_busy} busy" if num_busy else name


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
