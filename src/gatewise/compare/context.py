"""How many steps back a task needs, where nobody knows: the score with the context cut to the last k steps."""

from __future__ import annotations

from collections.abc import Sequence

from gatewise.records import ContextPoint
from gatewise.tasks import Task
from gatewise.training import SequenceModel, predict

# The needed context brings this share of what the whole context brings over one step; where the whole brings less than
# this share of the score, it is taken to bring nothing.
SHARE_OF_GAIN, LEAST_GAIN = 0.95, 0.01


def score_by_context(model: SequenceModel, task: Task) -> list[ContextPoint]:
    """Return the validation score at the last step when only the last k steps are shown; k = 1, 2, 3, 4, 6 ... T."""
    data = task.validation()
    targets = data.targets[:, -1:] if task.readout == "every" else data.targets
    points = []
    for steps in _context_lengths(task.sequence_length):
        outputs = predict(model, data.inputs[:, -steps:])
        at_last_step = outputs[:, -1:] if task.readout == "every" else outputs
        points.append(ContextPoint(steps=steps, score=task.score(at_last_step, targets)))
    return points


def estimate_needed_lag(points: Sequence[ContextPoint], task: Task) -> int:
    """Return the lag k - 1 of the shortest context k that brings 95 % of what the whole context brings over one step.

    0 where it brings next to nothing: less than 1 % of the score with one step.
    """
    shortest, whole = points[0].score, points[-1].score
    if not task.metric.is_better(whole, shortest) or abs(whole - shortest) < LEAST_GAIN * abs(shortest):
        return 0
    needed_score = shortest + SHARE_OF_GAIN * (whole - shortest)
    return next(point.steps for point in points if task.metric.reaches(point.score, needed_score)) - 1


def _context_lengths(num_steps: int) -> list[int]:
    """Return 1, 2, 3, 4, 6, 8, 12 ... and the whole length."""
    powers = [1 << power for power in range(num_steps.bit_length())]
    between = [3 * power // 2 for power in powers[1:]]
    return sorted({steps for steps in (*powers, *between) if steps < num_steps} | {num_steps})
