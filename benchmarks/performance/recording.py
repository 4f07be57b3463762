"""What recording costs on top of a training step."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import Literal, NamedTuple

from torch.nn import RNNBase

import gatewise as gw
from gatewise.bench import Claim, Contestant, LayerPair, Point, Size, alternate
from gatewise.nn import LayerRecording, Recording
from performance.table import Part, Table

LONG_S = 3e-3  # from here on a share is asked for, below a difference
DIFFERENCE_S = 50e-6
VISITS = 4  # to every size, all in turn: how busy the machine is, and where a layer lies, makes a difference

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
    samples: defaultdict[tuple[Size, str], defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for _, size in product(range(VISITS), part.sizes):
        for job, taken in visit(part, size):
            for name, seconds in taken.items():
                samples[size, job][name] += seconds
    for (size, job), of_job in samples.items():
        yield point(part.cell, size, job, of_job)


def visit(part: Part, size: Size) -> Iterator[tuple[str, dict[str, list[float]]]]:
    """Yield both jobs with what one visit to `size` measured of them, on a layer of its own."""
    pair = LayerPair(part.cell, size)
    step = pair.contestants("training")[1].run  # checked against torch.nn
    plain = Contestant("plain", step)
    alone = [Contestant(name, step_alone(pair.ours, step, kind)) for name, kind in KINDS.items()]
    pace = part.pace_of_steps.shared_by(VISITS)
    yield "training, a recording a step", alternate([plain, *alone], pace)
    steps = {name: StepOfLoop(pair.ours, step, kind) for name, kind in KINDS.items()}
    steps["norms, read"] = StepOfLoop(pair.ours, step, KINDS["norms"], read_norms)
    steps["everything, read"] = StepOfLoop(pair.ours, step, KINDS["everything"], read_everything)
    of_loops = [Contestant(name, of_loop.run, of_loop.during) for name, of_loop in steps.items()]
    yield "training in one recording", alternate([plain, *of_loops], pace)


def step_alone(layer: RNNBase, step: Step, kind: Kind) -> Step:
    """Return a step of `layer` in a recording of its own."""

    def run() -> object:
        with gw.record(layer, gates=kind.gates, gradients=kind.gradients) as recording:
            step()
        return recording

    return run


class StepOfLoop:
    """A step of `layer` in a recording that was begun before, and is cleared after it.

    All record the same layer: where weights and gradients lie makes more of a difference than what is measured.
    """

    def __init__(
        self, layer: RNNBase, step: Step, kind: Kind, use: Callable[[LayerRecording], object] | None = None
    ) -> None:
        self._layer, self._step, self._kind, self._use = layer, step, kind, use
        self._recording: Recording

    @contextmanager
    def during(self) -> Iterator[None]:
        with gw.record(self._layer, gates=self._kind.gates, gradients=self._kind.gradients) as self._recording:
            yield

    def run(self) -> None:
        self._step()
        if self._use is not None:
            self._use(self._recording[""])
        self._recording.clear()


def read_norms(recording: LayerRecording) -> object:
    return recording.hidden_gradient_norm


def read_everything(recording: LayerRecording) -> object:
    return recording.hidden_gradient_norm, recording.trace


def point(cell: str, size: Size, job: str, samples: dict[str, list[float]]) -> Point:
    is_long = statistics.median(samples["plain"]) > LONG_S
    claims = [
        Claim(of=name, over="plain", bound="at most", statistic="median ratio", target=kind.ratio)
        if is_long
        else Claim(of=name, over="plain", bound="at most", statistic="difference", target=DIFFERENCE_S)
        for name, kind in KINDS.items()
    ]
    return Point(cell=cell, size=size, job=job, samples=samples, claims=tuple(claims))


TABLE = Table(
    "recording",
    "Recording",
    "A training step of gatewise's layer without and within `gw.record`: `norms` is (gates=False, gradients='norms'), "
    "`everything` (gates=True, gradients=True). First each step in a recording of its own, entered and left within the "
    "time; then all steps in one recording, as around a training loop, which is cleared after each; `read` reads norms "
    "and trace before. Single steps of one layer take turns without a pause, each behind one of its own kind; sizes "
    f"are visited {VISITS} times, all in turn, each time with a new layer. The target is at most 5 % and 20 % more "
    "above 3 ms, at most 50 us more below.",
    measure,
)
