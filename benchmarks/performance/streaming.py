"""One step at a time, the state kept: gw.stream, torch.nn's cell, and an onnxruntime session where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

import gatewise as gw
from gatewise.bench import Claim, Contestant, LayerPair, Point, Size, assert_agreement, take_turns
from performance.peers import invite
from performance.table import Part, Table

SIZE = Size(1, 1, 64, 64)
NUM_STEPS = 20  # that the contestants must agree on
TARGETS = {"torch.nn cell": 10.0, "onnxruntime": 3.0}

Array = NDArray[np.float32]
Step = Callable[[Array], Array]


def measure(part: Part) -> Iterator[Point]:
    pair = LayerPair(part.cell, SIZE)
    steps: dict[str, Step] = {"gatewise": gw.stream(pair.ours).step, "torch.nn cell": _torch_step(pair)}
    if any(peer.name == "onnxruntime" for peer in invite(part)):
        from performance.peers.on_onnxruntime import make_step

        steps["onnxruntime"] = make_step(pair)
    inputs = torch.randn(NUM_STEPS, *SIZE[:1], SIZE.input_size).numpy()
    with torch.no_grad():
        expected = {"output": pair.theirs(torch.from_numpy(inputs))[0]}
    for name, step in steps.items():
        outputs = np.stack([step(x) for x in inputs])
        assert_agreement(name, {"output": torch.from_numpy(outputs)}, expected)
    x = inputs[0]
    yield Point(
        cell=part.cell,
        size=SIZE,
        job="one step",
        samples=take_turns([Contestant(name, lambda step=step: step(x)) for name, step in steps.items()], part.pace),
        claims=tuple(
            Claim(of=name, over="gatewise", target=target) for name, target in TARGETS.items() if name in steps
        ),
    )


def _torch_step(pair: LayerPair) -> Step:
    """Return a step of torch.nn's cell that keeps its state, numpy in and numpy out as the others."""
    cell = getattr(torch.nn, f"{pair.cell}Cell")(SIZE.input_size, SIZE.hidden_size)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in pair.theirs.state_dict().items()})
    state = None

    def step(x: Array) -> Array:
        nonlocal state
        with torch.no_grad():
            state = cell(torch.from_numpy(x), state)
        hidden = state[0] if isinstance(state, tuple) else state
        return hidden.numpy()

    return step


TABLE = Table(
    "streaming",
    "One step at a time",
    "`gw.stream(layer).step(x)`, one sequence, numpy in and numpy out. The targets are ten times as fast as torch.nn's "
    "cell and three times as fast as an onnxruntime session.",
    measure,
)
