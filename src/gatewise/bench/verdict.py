"""Holding a point against what was claimed of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gatewise.bench.record import Claim, Point
from gatewise.bench.statistics import Estimate, median_difference, median_ratio, ratio_of_medians

_ESTIMATES = {"ratio": ratio_of_medians, "median ratio": median_ratio, "difference": median_difference}


@dataclass(frozen=True)
class Verdict:
    """What came of a claim.

    Attributes
    ----------
    estimate : Estimate
        The ratio or the difference, with its interval.
    margin : float or None
        By which share of the target the value is on the right side of it, negative on the wrong side; None where the
        claim has no target.
    """

    claim: Claim
    estimate: Estimate
    margin: float | None
    unit: Literal["s", "bytes"]  # of a difference

    @property
    def is_met(self) -> bool:
        """Whether the value is on the right side of the target."""
        return self.margin is not None and self.margin >= 0

    @property
    def is_open(self) -> bool:
        """Whether the target lies within the interval, so that another run might decide otherwise."""
        return self.claim.target is not None and self.estimate.contains(self.claim.target)

    @property
    def is_no_difference(self) -> bool:
        """Whether the interval of a ratio contains 1."""
        return self.claim.statistic != "difference" and self.estimate.contains(1.0)

    @property
    def text(self) -> str:
        """Return ``"met by 12 %"`` or ``"not met by 8 %"``, and whether that is within the noise."""
        if self.margin is None:
            return ""
        share = f"by {100 * abs(self.margin):.0f} %"
        return ("met " if self.is_met else "not met ") + share + (", within the noise" if self.is_open else "")


def judge(point: Point, claim: Claim) -> Verdict:
    """Return what the samples of `point` say about `claim`.

    Examples
    --------
    >>> claim = Claim(of="theirs", over="ours", target=2.0)
    >>> point = Point(cell="GRU", job="training", samples={"theirs": [3.0, 3.0], "ours": [1.0, 1.0]}, claims=(claim,))
    >>> judge(point, claim).text
    'met by 50 %'
    """
    estimate = _ESTIMATES[claim.statistic](point.samples[claim.of], point.samples[claim.over])
    if claim.target is None:
        return Verdict(claim, estimate, None, point.unit)
    margin = estimate.value / claim.target - 1
    return Verdict(claim, estimate, margin if claim.bound == "at least" else -margin, point.unit)
