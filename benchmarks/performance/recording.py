"""What recording costs on top of a training step."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Literal, NamedTuple

import gatewise as gw
from gatewise.bench import Claim, Contestant, LayerPair, Point, alternate
from gatewise.bench.layers import train
from gatewise.nn.record import LayerRecording
from performance.table import Part, Table

LONG_S = 3e-3  # from here on a share is asked for, below a difference
DIFFERENCE_S = 50e-6

Step = Callable[[], object]


class Kind(NamedTuple):
    """What is recorded, and how much longer a long step may take."""

    gates: bool
    gradients: bool | Literal["norms"]
    ratio: float


KINDS = {
    "norms": Kind(gates=False, gradients="norms", ratio=1.05),
    "everything": Kind(gates=True, gradients=True, ratio=1.20),
}


def measure(part: Part) -> Iterator[Point]:
    for size in part.sizes:
        pair = LayerPair(part.cell, size)
        plain = pair.contestants("training")[1].run  # checked against torch.nn
        alone = {name: step_alone(plain, pair, kind) for name, kind in KINDS.items()}
        samples = alternate(contestants({"plain": plain, **alone}), part.pace_of_steps)
        yield point("training, a recording a step", pair, samples)
        with ExitStack() as stack:
            steps = {name: step_of_loop(pair, kind, stack) for name, kind in KINDS.items()}
            samples = alternate(contestants({"plain": plain, **steps}), part.pace_of_steps)
        with ExitStack() as stack:
            # Apart: reading calls much of torch, and the next step then finds other things in the caches.
            readers = {
                "norms, read": step_of_loop(pair, KINDS["norms"], stack, read_norms),
                "everything, read": step_of_loop(pair, KINDS["everything"], stack, read_everything),
            }
            samples |= alternate(contestants(readers), part.pace_of_steps)
        yield point("training in one recording", pair, samples)


def step_alone(plain: Step, pair: LayerPair, kind: Kind) -> Step:
    """Return the plain step of the pair's layer in a recording of its own."""

    def run() -> object:
        with gw.record(pair.ours, gates=kind.gates, gradients=kind.gradients) as recording:
            plain()
        return recording

    return run


def step_of_loop(
    pair: LayerPair, kind: Kind, stack: ExitStack, use: Callable[[LayerRecording], object] | None = None
) -> Step:
    """Return a step in a recording that lasts as long as `stack` and is cleared after each."""
    layer, x = copy.deepcopy(pair.ours), pair.input_of("training")  # a copy: a recording hears every call of its layer
    recording = stack.enter_context(gw.record(layer, gates=kind.gates, gradients=kind.gradients))

    def run() -> None:
        train(layer, x)
        if use is not None:
            use(recording[""])
        recording.clear()

    return run


def read_norms(recording: LayerRecording) -> object:
    return recording.hidden_gradient_norm


def read_everything(recording: LayerRecording) -> object:
    return recording.hidden_gradient_norm, recording.trace


def contestants(steps: dict[str, Step]) -> list[Contestant]:
    return [Contestant(name, step) for name, step in steps.items()]


def point(job: str, pair: LayerPair, samples: dict[str, list[float]]) -> Point:
    is_long = statistics.median(samples["plain"]) > LONG_S
    claims = [
        Claim(of=name, over="plain", bound="at most", target=kind.ratio)
        if is_long
        else Claim(of=name, over="plain", bound="at most", statistic="difference", target=DIFFERENCE_S)
        for name, kind in KINDS.items()
    ]
    return Point(cell=pair.cell, size=pair.size, job=job, samples=samples, claims=tuple(claims))


TABLE = Table(
    "recording",
    "Recording",
    "A training step of gatewise's layer without and within `gw.record`: `norms` is (gates=False, gradients='norms'), "
    "`everything` (gates=True, gradients=True). First each step in a recording of its own, entered and left within the "
    "time; then all steps in one recording, as around a training loop, which is cleared after each; `read` reads norms "
    "and trace before. Steps of the first three columns alternate without a pause, and so do those of the other two. "
    "The target is at most 5 % and 20 % more above 3 ms, at most 50 us more below.",
    measure,
)
