"""Put the rows of a table in the order of time and refuse a time line with holes. R rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gatewise.data.dates import Moments, read_moments
from gatewise.data.table import Table
from gatewise.errors import DataError

LARGEST_JUMP = 1.5  # in median steps; months (28 to 31 days) and leap years stay below it


def time_order(table: Table, name: str) -> NDArray[np.int64]:
    """Return the rows of `table` sorted by the time column `name`: (R,) indices.

    Raises
    ------
    UsageError
        If the column cannot be read as times.
    DataError
        If two rows have the same time, or a step is more than 1.5 times the median step.
    """
    moments = read_moments(table, name)
    order = np.argsort(moments.ticks, kind="stable")
    steps = np.diff(moments.ticks[order]).astype(np.float64)
    _refuse_repetition(table, name, order, steps)
    _refuse_gap(table, name, order, steps, moments)
    return order


def _refuse_repetition(table: Table, name: str, order: NDArray[np.int64], steps: NDArray[np.float64]) -> None:
    same = np.flatnonzero(steps == 0)
    if len(same):
        earlier, later = int(order[same[0]]), int(order[same[0] + 1])
        raise DataError(
            f"{table.path}: {table.row_name(later)} has the same {name} as row {earlier + 1}, "
            f"{table.frame[name][later]}; keep one row for each time"
        )


def _refuse_gap(
    table: Table, name: str, order: NDArray[np.int64], steps: NDArray[np.float64], moments: Moments
) -> None:
    median = float(np.median(steps)) if len(steps) else 0.0
    jumps = np.flatnonzero(steps > LARGEST_JUMP * median)
    if len(jumps):
        before, after = int(order[jumps[0]]), int(order[jumps[0] + 1])
        times = table.frame[name]
        raise DataError(
            f"{table.path} has a gap: {name} jumps from {times[before]} to {times[after]} at {table.row_name(after)}, "
            f"while its usual step is {moments.in_words(median)}; fill in the missing rows, or leave out --time "
            "to take the rows as they stand"
        )
