"""Where windows lie: N windows of T positions in a row of R positions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor


def evenly_spread(positions: Sequence[int], at_most: int) -> Tensor:
    """Return `positions`, or `at_most` of them from the first to the last in even distances.

    Returns
    -------
    Tensor
        (N,) int64, ascending, without repetition.
    """
    count = min(len(positions), at_most)
    chosen = np.linspace(0, len(positions) - 1, count).round().astype(np.int64)
    return torch.from_numpy(np.asarray(positions, dtype=np.int64)[chosen])


def drawn(positions: range, count: int, generator: Generator) -> Tensor:
    """Return `count` of the `positions` (step 1), each drawn uniformly and with replacement: (N,) int64."""
    return torch.randint(positions.start, positions.stop, (count,), generator=generator)


def first_targets(part: range, window: int, horizon: int) -> range:
    """Return where the targets of a forecast may begin so that all `horizon` of them lie in `part`.

    The `window` inputs before them may reach back into the part before, but not before the first row.

    >>> first_targets(range(0, 10), window=3, horizon=2)
    range(3, 9)
    >>> first_targets(range(10, 15), window=3, horizon=2)
    range(10, 14)
    """
    return range(max(part.start, window), part.stop - horizon + 1)


def gather(row: Tensor, starts: Tensor, length: int) -> Tensor:
    """Return the windows of `length` positions that begin at `starts`.

    Parameters
    ----------
    row : Tensor
        (R, ...)
    starts : Tensor
        (N,) int64

    Returns
    -------
    Tensor
        (N, length, ...)
    """
    return row[starts[:, None] + torch.arange(length)]
