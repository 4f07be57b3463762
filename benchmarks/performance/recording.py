"""What recording costs on top of a training step."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from typing import Literal

from torch.nn import Module

import gatewise as gw
from gatewise.bench import Claim, Contestant, LayerPair, Point, alternate
from gatewise.nn.record import Recording
from performance.table import Part, Table

LONG_S = 3e-3  # from here on a share is asked for, below a difference
RATIOS = {"norms": 1.05, "everything": 1.20}
DIFFERENCE_S = 50e-6

Step = Callable[[], Recording]


def recorded(step: Callable[[], object], layer: Module, gates: bool, gradients: bool | Literal["norms"]) -> Step:
    """Return the step within a recording, one function as a loop's own lines would be."""

    def run() -> Recording:
        with gw.record(layer, gates=gates, gradients=gradients) as recording:
            step()
        return recording

    return run


def read(step: Step, has_trace: bool) -> Callable[[], object]:
    def run() -> object:
        recording = step()[""]
        return recording.hidden_gradient_norm, recording.trace if has_trace else None

    return run


def measure(part: Part) -> Iterator[Point]:
    for size in part.sizes:
        pair = LayerPair(part.cell, size)
        plain = pair.contestants("training")[1].run  # checked against torch.nn
        norms = recorded(plain, pair.ours, gates=False, gradients="norms")
        everything = recorded(plain, pair.ours, gates=True, gradients=True)
        contestants = [Contestant("plain", plain), Contestant("norms", norms), Contestant("everything", everything)]
        readers = [
            Contestant("norms, read", read(norms, has_trace=False)),
            Contestant("everything, read", read(everything, has_trace=True)),
        ]
        # Apart: reading calls much of torch, and the next step of whoever comes then finds other things in the caches.
        samples = alternate(contestants, part.pace_of_steps) | alternate(readers, part.pace_of_steps)
        is_long = statistics.median(samples["plain"]) > LONG_S
        yield Point(
            cell=part.cell,
            size=size,
            job="training",
            samples=samples,
            claims=tuple(
                Claim(of=name, over="plain", bound="at most", target=ratio)
                if is_long
                else Claim(of=name, over="plain", bound="at most", statistic="difference", target=DIFFERENCE_S)
                for name, ratio in RATIOS.items()
            ),
        )


TABLE = Table(
    "recording",
    "Recording",
    "A training step of gatewise's layer without and within `gw.record`: `norms` is (gates=False, gradients='norms'), "
    "`everything` (gates=True, gradients=True); `read` brings it into the form of a trace as well. The steps of the "
    "first three alternate without a pause, as in a training loop, and so do those of the other two. The target is at "
    "most 5 % and 20 % more above 3 ms, at most 50 us more below.",
    measure,
)
