"""Measure the largest error of exp, tanh and sigmoid on every CPU level that runs here; print docs/accuracy.md's table.

    python benchmarks/activation_accuracy.py                  # every 101st float32, a million float64: seconds
    python benchmarks/activation_accuracy.py --exhaustive     # every float32 that matters, 100 million float64: minutes

The truth of float32 is NumPy's float64; that of float64 is the long double of x86, with its 64-bit significand, and
elsewhere mpmath, on fewer points.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gatewise import _native
from gatewise.records import machine_facts

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "native"))
import activation_truth as truth  # the tests measure against the same truth

BLOCK = 2**22
HAS_LONG_DOUBLE = np.finfo(np.longdouble).nmant >= 63


def float32_blocks(step: int) -> Iterator[truth.Array]:
    """Yield every `step`-th float32 with 2^-26 <= |x| < 128, and every 101st of the others.

    Below 2^-26 the exact results are 1, x and 1/2 to less than half a unit, from 128 on they are 0, inf and +-1.
    """
    smallest, largest = (int(np.float32(x).view(np.uint32)) for x in (2.0**-26, 128.0))
    sign = 2**31
    inner = [(smallest, largest), (sign + smallest, sign + largest)]
    outer = [(0, smallest), (largest, sign + smallest), (sign + largest, 2**32)]
    for ranges, stride in ((inner, step), (outer, 101)):
        for start, end in ranges:
            for first in range(start, end, BLOCK * stride):
                yield truth.every_float32(stride, first, min(first + BLOCK * stride, end))


def float64_blocks(num_points: int) -> Iterator[truth.Array]:
    for seed in range(-(-num_points // BLOCK)):
        yield truth.sampled_float64(min(BLOCK, num_points), seed)


def largest_error(function: truth.Activation, blocks: Iterator[truth.Array], level: str) -> tuple[float, float, int]:
    """Return the largest error in ULP, where it is made, and the number of points."""
    largest, where, num_points = 0.0, 0.0, 0
    for block in blocks:
        x = truth.finite_results(function, block)
        exact = truth.wide_truth if x.dtype == np.float32 or HAS_LONG_DOUBLE else truth.exact_truth
        error = truth.ulp_error(getattr(_native, function)(x, level=level), exact(function, x))
        num_points += x.size
        if x.size and error.max() > largest:
            largest, where = float(error.max()), float(x[error.argmax()])
    return largest, where, num_points


def measured_on() -> str:
    machine = machine_facts(jobs=1, threads_per_run=1)
    facts: dict[str, Any] = {
        "CPU": machine.processor,
        "cores": os.cpu_count(),
        "levels": ", ".join(_native.cpu_levels()),
        "compiled": ", ".join(_native.compiled_levels()),
        "Python": machine.python,
        "NumPy": np.__version__,
    }
    return "; ".join(f"{name} {value}" for name, value in facts.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--exhaustive", action="store_true", help="every float32 that matters, and many more float64")
    exhaustive = parser.parse_args().exhaustive
    num_float64 = (100_000_000 if exhaustive else 1_000_000) if HAS_LONG_DOUBLE else 20_000
    np.seterr(all="ignore")

    print(measured_on(), end="\n\n")
    print("| function | dtype | level | stated bound | largest error | at x | points |")
    print("|---|---|---|---|---|---|---|")
    for level in _native.cpu_levels():
        for function in truth.FUNCTIONS:
            for dtype, blocks in (
                (np.float32, float32_blocks(1 if exhaustive else 101)),
                (np.float64, float64_blocks(num_float64)),
            ):
                error, where, num_points = largest_error(function, blocks, level)
                bound = _native.max_ulp(function, dtype)
                row = [function, np.dtype(dtype).name, level, bound, f"{error:.3f}", f"{where:.9g}", f"{num_points:,}"]
                print("|", " | ".join(map(str, row)), "|", flush=True)


if __name__ == "__main__":
    main()
