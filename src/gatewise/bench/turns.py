"""Contestants that first have to agree, and then take turns."""

from __future__ import annotations

import gc
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from gatewise.errors import GatewiseError

TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-10}  # scale-free; tests/tolerances.py is stricter on less work
SHORT_S = 0.02  # below: a turn begins with a call that does not count, which wakes threads and fills caches
TURN_S = 0.002  # a turn repeats what is shorter than this, so that the clock does not decide
SETTLE_S = 0.002  # before a turn: idle threads of the contestant before it spin for about a millisecond


@dataclass(frozen=True)
class Contestant:
    """Something to time.

    Attributes
    ----------
    name : str
    run : callable
        The job; what it returns is thrown away.
    during : callable returning a context manager
        Entered for each of its turns, outside the time.
    """

    name: str
    run: Callable[[], object]
    during: Callable[[], AbstractContextManager[object]] = nullcontext


@dataclass(frozen=True)
class Pace:
    """How long to measure: `seconds` for all contestants together, but at least and at most so many rounds."""

    seconds: float = 1.0
    min_rounds: int = 7
    max_rounds: int = 150

    def shared_by(self, visits: int) -> Pace:
        """Return the pace of one of several visits that together take as long."""
        return Pace(self.seconds / visits, math.ceil(self.min_rounds / visits), math.ceil(self.max_rounds / visits))


def assert_agreement(
    name: str, actual: Mapping[str, Tensor], expected: Mapping[str, Tensor], tolerance: float | None = None
) -> None:
    """Raise GatewiseError if a result lies further from the reference than the tolerance: then nothing may be timed.

    Parameters
    ----------
    name : str
        Whose results they are.
    actual, expected : mapping of str to Tensor
        Results by name; `actual` may have others besides.
    tolerance : float, optional
        Of the largest difference over the largest entry of the reference; by default that of the reference's dtype.
    """
    for key, reference in expected.items():
        result = actual[key]
        if result.shape != reference.shape:
            came, wanted = tuple(result.shape), tuple(reference.shape)
            raise GatewiseError(f"{name} gives {key} of shape {came}, expected {wanted}; nothing was timed")
        scale = reference.abs().max().item() or 1.0
        error = (result - reference).abs().max().item() / scale
        allowed = TOLERANCES[reference.dtype] if tolerance is None else tolerance
        if not error <= allowed:  # also where the error is NaN
            difference = f"{key} differs by {error:.2g}, allowed {allowed:.2g}"
            raise GatewiseError(f"{name} disagrees with torch.nn: {difference}; nothing was timed")


def take_turns(contestants: Sequence[Contestant], pace: Pace, seed: int = 0) -> dict[str, list[float]]:
    """Return the seconds of a run, by contestant, one sample a round.

    In every round each contestant has one turn, in an order drawn anew: whatever the machine does meanwhile, and
    whatever the contestant before left in the caches, meets all of them alike.
    """
    repeats = {contestant.name: _repeats(contestant) for contestant in contestants}
    return _in_rounds(contestants, pace, lambda contestant: _turn(contestant, *repeats[contestant.name]), seed)


def alternate(contestants: Sequence[Contestant], pace: Pace, seed: int = 0) -> dict[str, list[float]]:
    """Do what `take_turns` does without a pause, as in a loop that goes on: one run a turn, behind one of its own kind.

    For small differences between contestants of one library: nobody's threads have to come to rest in between, and
    many rounds make up for the single runs.
    """

    def turn(contestant: Contestant) -> float:
        with contestant.during():
            contestant.run()
            return _seconds(contestant.run, 1)

    return _in_rounds(contestants, pace, turn, seed)


def _in_rounds(
    contestants: Sequence[Contestant], pace: Pace, turn: Callable[[Contestant], float], seed: int
) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    order, shuffle = list(contestants), random.Random(seed).shuffle
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()  # a collection would be charged to whoever is running
    try:
        end = time.perf_counter() + pace.seconds
        for done in range(pace.max_rounds):
            if done >= pace.min_rounds and time.perf_counter() >= end:
                break
            shuffle(order)
            for contestant in order:
                samples[contestant.name].append(turn(contestant))
            if done % 16 == 15:
                gc.collect(0)
    finally:
        if was_enabled:
            gc.enable()
    return samples


def _repeats(contestant: Contestant) -> tuple[int, bool]:
    """Return how often a turn runs the contestant, and whether it warms up first."""
    with contestant.during():
        contestant.run()
        seconds = _seconds(contestant.run, 1)
    return max(1, math.ceil(TURN_S / seconds)), seconds < SHORT_S


def _turn(contestant: Contestant, repeats: int, has_warm_up: bool) -> float:
    with contestant.during():
        time.sleep(SETTLE_S)
        if has_warm_up:
            contestant.run()
        return _seconds(contestant.run, repeats) / repeats


def _seconds(run: Callable[[], object], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return time.perf_counter() - start
