"""Choosing hidden sizes so that the cells can be compared: by parameter count, by hidden size or by time.

References
----------
Chung, Gulcehre, Cho & Bengio (2014), arXiv:1412.3555, compare cells with about the same number of parameters.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch

from gatewise.tasks import Task
from gatewise.training import LoopSettings, ModelConfig, SequenceModel
from gatewise.training.loop import train
from gatewise.training.threads import one_thread

Match = Literal["parameters", "hidden-size", "time"]
# The given hidden size is that of the first of these that takes part.
REFERENCE_ORDER = ("LSTM", "GRU", "RNN")
TIMED_STEPS, WARM_UP_STEPS = 7, 3


@dataclass(frozen=True)
class MatchedSize:
    """The size at which a cell takes part."""

    hidden_size: int
    parameters: int
    step_time_ms: float | None = None  # where time was what was matched


def match_sizes(
    cells: Sequence[str], hidden_size: int, task: Task, match: Match, batch_size: int
) -> dict[str, MatchedSize]:
    """Return the size of each cell; the reference cell gets `hidden_size` itself.

    Parameters
    ----------
    cells : sequence of str
    hidden_size : int
        H of the reference cell: the LSTM where it takes part, else the GRU.
    task : Task
    match : {"parameters", "hidden-size", "time"}
        "parameters": the count closest to the reference's, readout included. "time": the step time closest to the
        reference's, measured here and now on one thread; where a step's fixed cost dominates, the largest size tried
        may still be faster.
    batch_size : int
        For the time.
    """
    reference = reference_cell(cells)
    if match == "hidden-size":
        return {cell: MatchedSize(hidden_size, num_parameters(cell, hidden_size, task)) for cell in cells}
    if match == "time":
        return _match_time(cells, reference, hidden_size, task, batch_size)
    target = num_parameters(reference, hidden_size, task)
    sizes = {cell: hidden_size if cell == reference else _size_with_parameters(cell, target, task) for cell in cells}
    return {cell: MatchedSize(size, num_parameters(cell, size, task)) for cell, size in sizes.items()}


def reference_cell(cells: Sequence[str]) -> str:
    """Return the cell whose hidden size is given: the LSTM where it takes part, else the GRU."""
    return next(cell for cell in REFERENCE_ORDER if cell in cells)


def num_parameters(cell: str, hidden_size: int, task: Task) -> int:
    """Return the parameter count of the model that would be trained."""
    with torch.device("meta"):
        return SequenceModel(ModelConfig.for_task(cell, hidden_size, task)).num_parameters()


def _size_with_parameters(cell: str, target: int, task: Task) -> int:
    """Return the hidden size whose parameter count is closest to `target`."""
    low, high = 1, 2
    while num_parameters(cell, high, task) < target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if num_parameters(cell, middle, task) <= target else (low, middle)
    return min((low, high), key=lambda size: abs(num_parameters(cell, size, task) - target))


def _match_time(
    cells: Sequence[str], reference: str, hidden_size: int, task: Task, batch_size: int
) -> dict[str, MatchedSize]:
    target = _step_time_ms(reference, hidden_size, task, batch_size)
    candidates = sorted({max(1, round(hidden_size * 2 ** (power / 2))) for power in range(-4, 5)})
    matched = {}
    for cell in cells:
        times = (
            {hidden_size: target}
            if cell == reference
            else {size: _step_time_ms(cell, size, task, batch_size) for size in candidates}
        )
        size = min(times, key=lambda size: abs(times[size] - target))
        matched[cell] = MatchedSize(size, num_parameters(cell, size, task), times[size])
    return matched


def _step_time_ms(cell: str, hidden_size: int, task: Task, batch_size: int) -> float:
    """Return the median time of a training step on one thread, as the runs are trained."""
    model = SequenceModel(ModelConfig.for_task(cell, hidden_size, task))
    ends: list[float] = []
    settings = LoopSettings(1e-3, batch_size, WARM_UP_STEPS + TIMED_STEPS + 1, validate_every=10**9)
    with one_thread():
        train(model, task, settings, seed=0, on_step=lambda step: ends.append(time.perf_counter()))
    durations = [after - before for before, after in pairwise(ends)]
    return 1e3 * statistics.median(durations[WARM_UP_STEPS:])
