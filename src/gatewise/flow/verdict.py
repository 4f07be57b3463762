"""From measured numbers to a verdict; the only place where thresholds decide."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from gatewise.flow.lag_curve import HORIZON_FACTOR, GradientByLag, check_horizon_factor

GROWTH_LIMIT = 100.0


class Verdict(StrEnum):
    """What is wrong with a layer, from nothing to most."""

    HEALTHY = "HEALTHY"
    VANISHING = "VANISHING"
    EXPLODING = "EXPLODING"
    NON_FINITE = "NON_FINITE"

    @property
    def severity(self) -> int:
        """0 for HEALTHY to 3 for NON_FINITE."""
        return list(Verdict).index(self)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the most severe verdict; HEALTHY of none."""
    return max(verdicts, key=lambda verdict: verdict.severity, default=Verdict.HEALTHY)


@dataclass(frozen=True)
class Thresholds:
    """Where a verdict turns.

    Attributes
    ----------
    needed_lag : float or None
        Steps that the gradient must reach back; None for half of the sequence.
    growth_limit : float
        Factor by which the gradient may grow over the sequence.
    horizon_factor : float
        The horizon is where the gradient has shrunk by this factor.
    """

    needed_lag: float | None = None
    growth_limit: float = GROWTH_LIMIT
    horizon_factor: float = HORIZON_FACTOR

    def check(self) -> Thresholds:
        """Return the thresholds, or say which makes no sense."""
        if self.needed_lag is not None and not 0 <= self.needed_lag < math.inf:
            raise ValueError(f"needed_lag must be at least 0 steps and finite, got {self.needed_lag}")
        if not self.growth_limit >= 1:
            raise ValueError(f"growth_limit must be at least 1, got {self.growth_limit}")
        check_horizon_factor(self.horizon_factor)
        return self

    def needed_of(self, num_steps: int) -> float:
        """Return the lag that a layer with sequences of at most `num_steps` must reach."""
        return num_steps / 2 if self.needed_lag is None else self.needed_lag


@dataclass(frozen=True)
class Flow:
    """How the gradient fares on its way back through one layer and direction.

    Attributes
    ----------
    slope : float
        Log factor per step.
    growth : float
        Norm at the longest lag that any gradient reached over the norm at lag 0.
    horizon : float
        In steps; NaN where no gradient arrives.
    longest_lag : int
        What the longest sequence allows: its steps minus one.
    needed_lag : float
    """

    slope: float
    growth: float
    horizon: float
    longest_lag: int
    needed_lag: float

    def verdict(self, thresholds: Thresholds) -> Verdict:
        """EXPLODING: slope above 0 and growth above the limit; VANISHING: horizon below the needed lag."""
        if self.slope > 0 and self.growth > thresholds.growth_limit:
            return Verdict.EXPLODING
        # A horizon that reaches the first step is as far as these sequences can tell.
        if not self.horizon >= min(self.needed_lag, self.longest_lag):
            return Verdict.VANISHING
        return Verdict.HEALTHY


def flow_of(curve: GradientByLag, index: int, num_steps: int, thresholds: Thresholds) -> Flow:
    """Read row `index` of a curve over sequences of at most `num_steps`."""
    log_norm = curve.log_norm[index]
    seen = (~log_norm.isnan()).nonzero().flatten().tolist()
    log_growth = float(log_norm[seen[-1]] - log_norm[0]) if seen else math.nan
    return Flow(
        slope=float(curve.slope[index]),
        growth=math.exp(log_growth) if not log_growth > 709 else math.inf,  # e^710 is beyond float64
        horizon=float(curve.horizon[index]),
        longest_lag=num_steps - 1,
        needed_lag=thresholds.needed_of(num_steps),
    )
