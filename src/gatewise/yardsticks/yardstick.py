"""What a yardstick is: a published claim, the experiment that repeats it here, and the rule that judges the outcome."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Numbers = dict[str, float]

# One seed may be luck, two cannot say how much: fewer than three are never judged.
LEAST_SEEDS = 3


@dataclass(frozen=True)
class Theirs:
    """What the paper did and found, and whether we read that in its text, in its abstract, or only remember it."""

    text: str
    known_from: Literal["paper", "abstract", "memory"]


@dataclass(frozen=True)
class Criterion:
    """One statistic over the seeds held against a threshold that was fixed before the runs."""

    text: str
    statistic: float
    rule: Literal["at least", "at most"]
    threshold: float

    @property
    def holds(self) -> bool:
        """Whether the statistic keeps to the rule; NaN never does."""
        return self.statistic >= self.threshold if self.rule == "at least" else self.statistic <= self.threshold


class Yardstick(ABC):
    """One classical result.

    Attributes
    ----------
    name : str
        First author, year, and where there are several the experiment: ``le2015``.
    source : str
        Authors, year, title, DOI or arXiv.
    claim : str
        What is to be reproduced, in one sentence.
    theirs : Theirs
    ours : str
        The setting that is run here.
    judged : str
        The rule, in words.
    quick : str
        What --quick reduces: a smoke test of about a minute at most, never judged.
    seeds, quick_seeds : tuple of int
    shown : tuple of str
        Names of the numbers that tables show; () for all.
    """

    name: str
    source: str
    claim: str
    theirs: Theirs
    ours: str
    judged: str
    quick: str
    seeds: tuple[int, ...] = (0, 1, 2)
    quick_seeds: tuple[int, ...] = (0,)
    shown: tuple[str, ...] = ()

    @abstractmethod
    def run(self, seed: int, is_quick: bool = False) -> Numbers:
        """Run the experiment with one seed and return its numbers by name; the same seed gives the same numbers."""

    @abstractmethod
    def judge(self, runs: Sequence[Numbers]) -> list[Criterion]:
        """Return the criteria, all of which must hold, from the numbers of every seed."""


def is_reproduced(criteria: Sequence[Criterion], num_seeds: int, is_quick: bool) -> bool | None:
    """Return whether the claim holds here; None where nothing may be said: a quick run, or fewer than three seeds.

    >>> is_reproduced([Criterion("solved", 3, "at least", 3)], num_seeds=3, is_quick=False)
    True
    >>> is_reproduced([Criterion("solved", 1, "at least", 1)], num_seeds=1, is_quick=False) is None
    True
    """
    if is_quick or num_seeds < LEAST_SEEDS:
        return None
    return all(criterion.holds for criterion in criteria)


def values(runs: Sequence[Numbers], name: str) -> list[float]:
    """Return one number of every seed."""
    return [numbers[name] for numbers in runs]


def median(runs: Sequence[Numbers], name: str) -> float:
    """Return the median over the seeds; NaN if any seed gave no number."""
    return float(np.median(values(runs, name)))


def lowest(runs: Sequence[Numbers], name: str) -> float:
    """Return the smallest number of any seed; NaN if any seed gave no number."""
    return float(np.min(values(runs, name)))


def median_ratio(runs: Sequence[Numbers], above: str, below: str) -> float:
    """Return the median over the seeds of the ratio of two numbers; NaN if any seed lacks one."""
    return float(np.median(np.divide(values(runs, above), values(runs, below))))


def count(runs: Sequence[Numbers], name: str) -> int:
    """Return in how many seeds a 0-or-1 number is 1."""
    return sum(value == 1 for value in values(runs, name))
