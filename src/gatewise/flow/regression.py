"""A straight line through points, with the interval of its slope."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gatewise.errors import MissingExtraError


@dataclass(frozen=True)
class Line:
    """Least squares y = intercept + slope x."""

    slope: float  # NaN below two points
    standard_error: float  # NaN below three points
    degrees_of_freedom: int

    def slope_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the two-sided interval of the slope by Student's t.

        It takes the residuals as independent, which they are not along a decay curve: read it as a lower bound of the
        uncertainty.

        Raises
        ------
        MissingExtraError
            Where SciPy, for the quantile, is not installed.
        """
        if not math.isfinite(self.standard_error):
            return math.nan, math.nan
        try:
            from scipy import stats
        except ImportError:
            raise MissingExtraError("the slope's interval needs SciPy; install gatewise[workbench]") from None
        margin = float(stats.t.ppf(0.5 + confidence / 2, self.degrees_of_freedom)) * self.standard_error
        return self.slope - margin, self.slope + margin


def fit_line(x: NDArray[np.float64], y: NDArray[np.float64]) -> Line:
    """Fit the points (K,) whose y is finite."""
    finite = np.isfinite(y)
    x, y = x[finite], y[finite]
    if len(x) < 2:
        return Line(math.nan, math.nan, 0)
    centred = x - x.mean()
    spread = float(centred @ centred)
    slope = float(centred @ y) / spread
    residuals = y - y.mean() - slope * centred
    degrees = len(x) - 2
    standard_error = math.sqrt(float(residuals @ residuals) / degrees / spread) if degrees > 0 else math.nan
    return Line(slope, standard_error, degrees)
