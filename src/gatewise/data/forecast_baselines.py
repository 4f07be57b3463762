"""Forecasts that need no network. R rows, N windows, H values ahead; errors in the series' own unit, squared."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gatewise.data.windows import evenly_spread
from gatewise.tasks import Baseline

_MAX_SEARCHED = 10_000  # training windows on which the period is looked for


def forecast_baselines(
    series: NDArray[np.float64], training: range, test: NDArray[np.int64], window: int, horizon: int
) -> tuple[Baseline, ...]:
    """Return the mean squared error of the last value and, for windows of 2 or more, of the best period.

    Parameters
    ----------
    series : ndarray of shape (R,)
        The target in its own unit.
    training : range
        Where the targets of the training windows begin; the period is chosen on them.
    test : ndarray of shape (N,)
        Where the targets of the test windows begin.
    window, horizon : int
        T and H.
    """
    last = Baseline("last value", repetition_error(series, test, 1, horizon), "the last value seen, repeated")
    if window < 2:
        return (last,)
    searched = evenly_spread(training, _MAX_SEARCHED).numpy()
    period = min(range(2, window + 1), key=lambda lag: repetition_error(series, searched, lag, horizon))
    seasonal = Baseline(
        f"seasonal naive (period {period})",
        repetition_error(series, test, period, horizon),
        f"the last {period} values seen, repeated; of all periods up to the window this one errs least in training",
    )
    return last, seasonal


def repetition_error(series: NDArray[np.float64], starts: NDArray[np.int64], period: int, horizon: int) -> float:
    """Return the mean squared error of repeating the last `period` values before each of the `starts`, (N,)."""
    ahead = np.arange(horizon)
    forecast = series[starts[:, None] + ahead % period - period]
    return float(np.mean((series[starts[:, None] + ahead] - forecast) ** 2))
