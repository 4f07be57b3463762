"""Read a column of moments: numbers, dates, or text that is one of them. R rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import product

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gatewise.data.columns import first_true, missing_words, numbers, refuse_missing
from gatewise.data.table import Table
from gatewise.errors import UsageError

_DATES = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y")
_TIMES = ("", " %H:%M", " %H:%M:%S%.f", " %H:%M:%S%.f%z")


@dataclass(frozen=True)
class Moments:
    """A time for every row.

    Attributes
    ----------
    ticks : ndarray of shape (R,)
        Microseconds as int64 for dates, the numbers themselves as float64 elsewhere.
    are_dates : bool
    """

    ticks: NDArray[np.int64] | NDArray[np.float64]
    are_dates: bool

    def in_words(self, step: float) -> str:
        """Return a distance in ticks as a reader would say it: ``31 days``, ``1:00:00``, or the number."""
        return str(timedelta(microseconds=step)).removesuffix(", 0:00:00") if self.are_dates else f"{step:g}"


def read_moments(table: Table, name: str) -> Moments:
    """Return the times in the column `name`.

    Raises
    ------
    UsageError
        If there is no such column, or it holds something else than times, or the order of day and month is open.
    DataError
        If a value is missing or infinite.
    """
    column = table.column(name)
    if column.dtype == pl.String:
        refuse_missing(table, name, missing_words(column))
        column = _parse_text(table, name)
    if column.dtype.is_numeric():
        return Moments(numbers(table, name), are_dates=False)
    if column.dtype not in (pl.Date, pl.Datetime):
        raise UsageError(f"{table.path}: time column {name!r} holds {column.dtype}, neither numbers nor dates")
    refuse_missing(table, name, column.is_null())
    return Moments(column.dt.timestamp("us").to_numpy(), are_dates=True)


def _parse_text(table: Table, name: str) -> pl.Series:
    """Return the one reading that fits every row, as numbers or moments."""
    text = table.column(name).str.strip_chars()
    readings = [read(text) for read in _readers() if read(text[:1])[0] is not None]
    fitting = [reading for reading in readings if not reading.null_count()]
    if not fitting:
        failed = max((first_true(reading.is_null()) or 0 for reading in readings), default=0)
        raise UsageError(
            f"{table.path}: time column {name!r}: {table.row_name(failed)} holds {text[failed]!r}, "
            "which is neither a number nor a date such as 2024-01-31 or 2024-01-31 13:45"
        )
    if any((reading != fitting[0]).any() for reading in fitting[1:]):
        raise UsageError(
            f"{table.path}: time column {name!r} leaves open which is the day and which the month "
            f"({text[0]!r}); write dates as 2024-01-31"
        )
    return fitting[0]


def _readers() -> list[Callable[[pl.Series], pl.Series]]:
    formats = [date + time for date, time in product(_DATES, _TIMES)]
    return [_read_numbers, *(lambda text, pattern=pattern: _read_dates(text, pattern) for pattern in formats)]


def _read_numbers(text: pl.Series) -> pl.Series:
    return text.cast(pl.Float64, strict=False)


def _read_dates(text: pl.Series, pattern: str) -> pl.Series:
    """Return the moments; null where the text is not of the pattern, or its year has not four digits."""
    plain = (
        text.str.replace(r"^(\d{4}-\d{1,2})$", "${1}-01")  # a month stands for its first day
        .str.replace(r"(\d)T(\d)", "${1} ${2}")
        .str.replace(r"Z$", "+00:00")
    )
    moments = plain.str.to_datetime(pattern, time_unit="us", strict=False)
    return moments.set(moments.dt.year() < 1000, None)
