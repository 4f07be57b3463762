"""What exp, tanh and sigmoid really are, and how far a result is from it.

Shared by the tests and benchmarks/activation_accuracy.py. The truth comes in a wider format (``wide_truth``: float64
for float32, the 64-bit significand of x86's long double for float64) where millions of points are needed, and from
mpmath (``exact_truth``) where nothing else is to be trusted.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import mpmath
import numpy as np

Array = np.ndarray[Any, Any]

Activation = Literal["exp", "tanh", "sigmoid"]
FUNCTIONS: tuple[Activation, ...] = ("exp", "tanh", "sigmoid")
DTYPES = (np.float32, np.float64)


class Truth(NamedTuple):
    """The exact results ``value + rest * unit``, and their unit in the last place in the dtype under test."""

    value: Array
    rest: Array
    unit: Array


def unit_in_the_last_place(value: Array, dtype: type) -> Array:
    """Return the distance between the numbers of `dtype` in the binade of `value`, at least the smallest subnormal."""
    info = np.finfo(dtype)
    _, exponent = np.frexp(value)  # value = m 2^exponent, 1/2 <= |m| < 1
    return np.ldexp(value.dtype.type(1), np.maximum(exponent - 1, info.minexp) - info.nmant)


def wide_truth(function: str, x: Array) -> Truth:
    """Return the truth of `x` in the next wider format; its own error must be small against a unit of `x.dtype`."""
    wide = x.astype(np.float64 if x.dtype == np.float32 else np.longdouble)
    value = WIDE[function](wide)
    return Truth(value, np.zeros_like(value), unit_in_the_last_place(value, x.dtype.type))


def wide_sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


WIDE: dict[str, Callable[[Array], Array]] = {"exp": np.exp, "tanh": np.tanh, "sigmoid": wide_sigmoid}


def exact_truth(function: str, x: Array) -> Truth:
    """Return the truth of float64 `x` by mpmath; ten thousand points take a fraction of a second."""
    with mpmath.workprec(160):
        rows = [_exact(function, mpmath.mpf(float(element))) for element in x]
    value, rest, unit = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    return Truth(value, rest, unit)


def _exact(function: str, x: mpmath.mpf) -> tuple[float, float, float]:
    if function == "sigmoid":
        truth = 1 / (1 + mpmath.exp(-x))
    elif function == "tanh" and abs(x) < mpmath.ldexp(1, -40):
        truth = x - x**3 / 3  # mpmath.tanh cancels here; the next term of the series is below 2^-160 of this
    else:
        truth = getattr(mpmath, function)(x)
    unit = mpmath.ldexp(1, max(mpmath.frexp(truth)[1] - 1, -1022) - 52)
    value = float(truth)
    return value, float((truth - value) / unit), float(unit)


def ulp_error(result: Array, truth: Truth) -> Array:
    """Return the distance of `result` from the truth in units in the last place; NaN counts as infinitely far."""
    error = np.abs((result.astype(truth.value.dtype) - truth.value) / truth.unit - truth.rest)
    return np.where(np.isnan(error), np.inf, error)


def finite_results(function: str, x: Array) -> Array:
    """Return the elements of `x` that are finite, with a finite exact result: where a largest error is promised."""
    finite = x[np.isfinite(x)]
    return finite[finite <= np.log(np.longdouble(np.finfo(x.dtype).max))] if function == "exp" else finite


def sampled_float64(count: int, seed: int) -> Array:
    """Draw points for float64, a third each: even in value, even in exponent, and where exp's reduction changes k."""
    random = np.random.default_rng(seed)
    even = random.uniform(-750, 750, count // 3)
    scaled = random.choice([-1.0, 1.0], count // 3) * np.exp2(random.uniform(-60, 10, count // 3))
    border = (random.integers(-1076, 1025, count - 2 * (count // 3)) + 0.5) * np.log(2)
    border *= random.choice([1.0, 0.5], border.size)  # tanh reduces 2x
    nudged = border * (1 + random.integers(-50, 51, border.size) * np.finfo(np.float64).eps)
    return np.concatenate([even, scaled, nudged])


def every_float32(step: int, first: int = 0, last: int = 2**32) -> Array:
    """Return every `step`-th of the bit patterns of float32, NaN and infinities among them."""
    return np.arange(first, last, step, dtype=np.uint32).view(np.float32)
