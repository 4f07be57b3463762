"""Scores over seeds: summaries and the interval between two cells.

References
----------
Welch, B. L. (1947). The generalization of 'Student's' problem when several different population variances are involved.
Biometrika 34. doi:10.1093/biomet/34.1-2.28
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np

from gatewise.compare.matching import MatchedSize
from gatewise.records import CellSummary, Run

CONFIDENCE = 0.95


def welch_interval(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % Welch interval of mean(first) - mean(second); each needs two scores or more.

    Where neither varies at all, the interval is the difference itself. (scipy.stats.ttest_ind gives the same numbers,
    but warns where one of the two does not vary.)
    """
    from scipy import stats  # here, since it takes a second to import and the training processes need none of it

    difference = statistics.fmean(first) - statistics.fmean(second)
    # The squared standard errors of the two means.
    errors = [statistics.variance(scores) / len(scores) for scores in (first, second)]
    if sum(errors) == 0:
        return difference, difference
    degrees = sum(errors) ** 2 / sum(
        error**2 / (len(scores) - 1) for error, scores in zip(errors, (first, second), strict=True)
    )
    margin = float(stats.t.ppf(0.5 + CONFIDENCE / 2, degrees)) * math.sqrt(sum(errors))
    return difference - margin, difference + margin


def summarise(cell: str, runs: Sequence[Run], size: MatchedSize) -> CellSummary:
    """Summarise the chosen runs of one cell."""
    scores = np.array([run.score for run in runs])
    horizon, horizon_is_censored = _median_horizon(runs)
    return CellSummary(
        cell=cell,
        seeds=len(runs),
        hidden_size=size.hidden_size,
        parameters=size.parameters,
        learning_rate=runs[0].learning_rate,
        mean_score=float(scores.mean()),
        std_score=float(scores.std(ddof=1)) if len(scores) > 1 else None,
        seconds=statistics.fmean(run.seconds for run in runs),
        solved=None if runs[0].solved is None else sum(run.solved is True for run in runs),
        horizon=horizon,
        horizon_is_censored=horizon_is_censored,
        step_time_ms=size.step_time_ms,
    )


def _median_horizon(runs: Sequence[Run]) -> tuple[int | None, bool]:
    """Return the median horizon, the lower of two in the middle, and whether it is only a lower bound."""
    measured = sorted((run.horizon, run.horizon_is_censored) for run in runs if run.horizon is not None)
    return measured[(len(measured) - 1) // 2] if measured else (None, False)
