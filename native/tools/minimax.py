"""The constants of the exponential, as they stand in native/level/activations.hpp.

After the reduction x = k ln2 + r, |r| <= ln2 / 2, all three activations need expm1(r). It is written
r + r^2 (1/2 + r p(r)): the first two terms of the series are exact in every precision, so a small r keeps its last
bits and rounding the coefficients of p costs next to nothing. This script finds, by Remez exchange, the p of a given
degree that makes the largest relative error of expm1 smallest.

    python native/tools/minimax.py
"""
# ruff: noqa: T201 (it prints what is to be copied)

from collections.abc import Sequence

import mpmath as mp

mp.mp.dps = 40
# A little more than ln2 / 2: the rounded quotient x / ln2 may pick the neighbouring k when r is on the border.
HALF_WIDTH = mp.log(2) / 2 * (1 + mp.mpf(2) ** -18)
NUM_GRID_POINTS = 1000  # even, so that r = 0 is not among them


def remez(degree: int) -> list[mp.mpf]:
    """Return the coefficients of p, lowest first."""
    grid = [-HALF_WIDTH * mp.cos(mp.pi * (i + mp.mpf(1) / 2) / NUM_GRID_POINTS) for i in range(NUM_GRID_POINTS)]
    # The weight r^3 / expm1(r) is positive on both sides of zero, as alternation of signs requires.
    target = [(mp.expm1(r) - r - r * r / 2) / mp.expm1(r) for r in grid]
    basis = [[r ** (j + 3) / mp.expm1(r) for j in range(degree + 1)] for r in grid]
    num_nodes = degree + 2
    nodes = [round((NUM_GRID_POINTS - 1) * (i + 0.5) / num_nodes) for i in range(num_nodes)]
    while True:
        equations = mp.matrix([[*basis[i], (-1) ** k] for k, i in enumerate(nodes)])
        *coefficients, levelled = mp.lu_solve(equations, mp.matrix([target[i] for i in nodes]))
        error = [t - mp.fdot(coefficients, row) for t, row in zip(target, basis, strict=True)]
        if max(map(abs, error)) <= abs(levelled) * (1 + mp.mpf(10) ** -3):
            return coefficients
        nodes = alternating_extrema(error, num_nodes)


def alternating_extrema(error: Sequence[mp.mpf], count: int) -> list[int]:
    """Return the grid indices of `count` extrema of alternating sign: the largest error of each run of one sign."""
    extrema: list[int] = []
    for i, e in enumerate(error):
        if extrema and (e > 0) == (error[extrema[-1]] > 0):
            extrema[-1] = max(extrema[-1], i, key=lambda j: abs(error[j]))
        else:
            extrema.append(i)
    while len(extrema) > count:
        extrema.pop(0 if abs(error[extrema[0]]) < abs(error[extrema[-1]]) else -1)
    return extrema


def rounded(value: mp.mpf, precision_bits: int) -> mp.mpf:
    """Return the nearest number of that many significant bits."""
    with mp.workprec(precision_bits):
        return +value


def relative_error(coefficients: Sequence[mp.mpf]) -> mp.mpf:
    """Return the largest relative error that expm1(r) has with this p, evaluated exactly."""
    grid = [HALF_WIDTH * mp.mpf(i) / 1000 for i in range(-1000, 1001) if i != 0]
    descending = [*reversed(coefficients), mp.mpf(1) / 2, 1, 0]
    return max(abs(mp.polyval(descending, r) / mp.expm1(r) - 1) for r in grid)


def main() -> None:
    """Print the constants for float and double."""
    for name, degree, precision_bits in (("float", 3, 24), ("double", 8, 53)):
        coefficients = [rounded(c, precision_bits) for c in remez(degree)]
        log2_error = float(mp.log(relative_error(coefficients), 2))
        print(f"{name}: p of degree {degree}, largest relative error of expm1 2^{log2_error:.1f}, coefficients")
        for c in coefficients:
            print(f"  {float(c).hex()}")
        log2e = rounded(1 / mp.log(2), precision_bits)
        ln2_high = rounded(mp.log(2), precision_bits)
        ln2_low = rounded(mp.log(2) - ln2_high, precision_bits)
        print(f"  log2(e) = {float(log2e).hex()}, ln2 = {float(ln2_high).hex()} + {float(ln2_low).hex()}")


if __name__ == "__main__":
    main()
