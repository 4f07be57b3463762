"""Ridge regression of many targets on one set of features, its strength chosen on steps that the fit has not seen.

Shapes: S samples, H features, I targets, R strengths.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# In units of the largest eigenvalue of the features' covariance: from no more than rounding to next to nothing left.
STRENGTHS = torch.logspace(-14, 2, 17, dtype=torch.float64)


@dataclass(frozen=True)
class Split:
    """Which samples (S,) fit the weights, which choose the strength, and which are held out to be scored."""

    fit: Tensor
    choose: Tensor
    held_out: Tensor


class Ridge:
    """Features (S, H), centred and decomposed once, for regressions on any number of targets."""

    def __init__(self, features: Tensor, split: Split) -> None:
        self.split = split
        centred = features - features[split.fit].mean(dim=0)
        fitted = centred[split.fit]
        values, vectors = torch.linalg.eigh(fitted.T @ fitted / len(fitted))
        self.rotated = centred @ vectors
        values = values.clamp(min=0)  # rounding leaves about -1e-16 where the truth is 0
        largest = values.max().clamp(min=1e-200)  # features may all be constant
        self.inverses = 1 / (values + STRENGTHS.unsqueeze(1) * largest)  # (R, H)

    def held_out_r_squared(self, targets: Tensor) -> float:
        """Return R^2 of targets (S, I) on the held-out samples, floored at 0.

        All components together: 1 - (sum of squared errors) / (sum of squares about the mean of the held-out targets).
        The strength is that with the least error on the samples that choose; the held-out ones have no say.
        """
        split = self.split
        mean = targets[split.fit].mean(dim=0)
        centred = targets - mean
        projected = self.rotated[split.fit].T @ centred[split.fit] / len(split.fit)  # (H, I)
        weights = self.inverses.unsqueeze(-1) * projected  # (R, H, I)
        errors = (self.rotated[split.choose] @ weights - centred[split.choose]).square().sum(dim=(1, 2))
        best = weights[errors.argmin()]
        held_out = targets[split.held_out]
        error = (self.rotated[split.held_out] @ best + mean - held_out).square().sum()
        spread = (held_out - held_out.mean(dim=0)).square().sum()
        return max(0.0, float(1 - error / spread)) if spread > 0 else 0.0
