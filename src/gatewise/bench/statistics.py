"""How two contestants who took turns compare, by medians, and how sure that is.

References
----------
Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 13 (percentile interval). ISBN 0-412-04231-2
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
NUM_RESAMPLES = 2000
_ROUNDS_AT_ONCE = 500_000  # entries of one batch of resamples: 4 MB


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    def contains(self, number: float) -> bool:
        """Return whether `number` lies within the interval."""
        return self.low <= number <= self.high


def ratio_of_medians(of: Sequence[float], over: Sequence[float], seed: int = 0) -> Estimate:
    """Return median(of) / median(over) with its bootstrap interval.

    Parameters
    ----------
    of, over : sequence of float, equally long
        The samples of two contestants, round by round, all positive. Rounds are drawn whole: what slowed both
        contestants of a round then belongs to both, and does not widen the interval.
    seed : int, default 0
        Of the resampling: the same samples give the same interval.

    Examples
    --------
    >>> ratio_of_medians([2.0, 2.0, 2.0], [1.0, 1.0, 1.0])
    Estimate(value=2.0, low=2.0, high=2.0)
    """
    return _bootstrap(_rounds_of(of, over), np.divide, seed)


def median_ratio(of: Sequence[float], over: Sequence[float], seed: int = 0) -> Estimate:
    """Return the median of ``of / over`` over the rounds with its bootstrap interval; parameters as `ratio_of_medians`.

    For a ratio so close to 1 that the machine does more to both from one round to the next.

    Examples
    --------
    >>> median_ratio([2.0, 9.0, 1.0], [1.0, 4.5, 0.5])
    Estimate(value=2.0, low=2.0, high=2.0)
    """
    of_rounds, over_rounds = _rounds_of(of, over)
    return _median(of_rounds / over_rounds, seed)


def median_difference(of: Sequence[float], over: Sequence[float], seed: int = 0) -> Estimate:
    """Return the median of ``of - over`` over the rounds with its bootstrap interval; parameters as `ratio_of_medians`.

    For a difference that is small beside what the machine does to both from one round to the next.

    Examples
    --------
    >>> median_difference([2.5, 9.5, 1.5], [2.0, 9.0, 1.0])
    Estimate(value=0.5, low=0.5, high=0.5)
    """
    of_rounds, over_rounds = _rounds_of(of, over)
    return _median(of_rounds - over_rounds, seed)


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean of positive numbers.

    >>> geometric_mean([1.0, 4.0])
    2.0
    """
    return math.exp(statistics.fmean(map(math.log, values)))


def _rounds_of(of: Sequence[float], over: Sequence[float]) -> NDArray[np.float64]:
    """Return the samples of both (2, rounds)."""
    if len(of) != len(over) or not of:
        raise ValueError(f"both contestants need the same number of samples, got {len(of)} and {len(over)}")
    return np.array([of, over])


def _median(values: NDArray[np.float64], seed: int) -> Estimate:
    return _bootstrap(values[np.newaxis], lambda median: median, seed)


def _bootstrap(samples: NDArray[np.float64], combine: Callable[..., NDArray[np.float64]], seed: int) -> Estimate:
    """Return what `combine` makes of the medians of some series (series, rounds), with its interval."""
    num_rounds = samples.shape[1]
    generator = np.random.default_rng(seed)
    batch = max(1, _ROUNDS_AT_ONCE // num_rounds)
    resampled = []
    for start in range(0, NUM_RESAMPLES, batch):
        rounds = generator.integers(num_rounds, size=(min(batch, NUM_RESAMPLES - start), num_rounds))
        resampled.append(combine(*np.median(samples[:, rounds], axis=-1)))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(resampled), [tail, 1 - tail])
    return Estimate(float(combine(*np.median(samples, axis=-1))), float(low), float(high))
