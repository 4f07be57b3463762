"""Numbers out of a table's columns, or the row that holds none. R rows."""

from __future__ import annotations

import re

import numpy as np
import polars as pl
from numpy.typing import NDArray

from gatewise.data.table import Table
from gatewise.errors import DataError, UsageError

MISSING = ("", "na", "n/a", "nan", "null", "none", "-", "?")  # what a missing value is written as, in lower case


def numbers(table: Table, name: str) -> NDArray[np.float64]:
    """Return a column as finite numbers: (R,) float64.

    Raises
    ------
    UsageError
        If there is no such column, or it holds something else than numbers.
    DataError
        If a value is missing or infinite.
    """
    column = table.column(name)
    values, is_missing = _parsed(column)
    if values is None:
        raise UsageError(f"{table.path}: column {name!r} is not numeric, it holds {column.dtype}")
    wrong = first_true(values.is_null() & ~is_missing)
    if wrong is not None:
        raise UsageError(_not_numeric(table, name, wrong))
    refuse_missing(table, name, is_missing)
    infinite = first_true(values.is_infinite())
    if infinite is not None:
        raise DataError(f"{table.path}: column {name!r} is infinite in {table.row_name(infinite)}")
    return values.to_numpy()


def numeric_columns(table: Table) -> list[str]:
    """Return the names of the columns that hold numbers, but for missing values."""
    return [name for name in table.frame.columns if _is_numeric(table.frame[name])]


def refuse_missing(table: Table, name: str, is_missing: pl.Series) -> None:
    """Raise a DataError that names the first row where `is_missing`, (R,) bool, is true."""
    missing = first_true(is_missing)
    if missing is not None:
        raise DataError(
            f"{table.path}: column {name!r} has no value in {table.row_name(missing)}; "
            "fill it in, or take only the rows before or after it"
        )


def missing_words(text: pl.Series) -> pl.Series:
    """Return where a column of text holds no value or a word for it: (R,) bool."""
    return text.is_null() | text.str.strip_chars().str.to_lowercase().is_in(MISSING).fill_null(value=True)


def first_true(mask: pl.Series) -> int | None:
    """Return the first index at which `mask`, (R,) bool, is true."""
    found = mask.arg_true()
    return int(found[0]) if len(found) else None


def _parsed(column: pl.Series) -> tuple[pl.Series | None, pl.Series]:
    """Return the values, null where there is none, and where they are missing; None for a type that is not numeric."""
    if column.dtype == pl.String:
        values = column.str.strip_chars().cast(pl.Float64, strict=False)
        return values, missing_words(column)
    if not column.dtype.is_numeric():
        return None, column.is_null()
    values = column.cast(pl.Float64)
    return values, values.is_null() | values.is_nan().fill_null(value=True)


def _is_numeric(column: pl.Series) -> bool:
    values, is_missing = _parsed(column)
    return values is not None and not is_missing.all() and not (values.is_null() & ~is_missing).any()


def _not_numeric(table: Table, name: str, row: int) -> str:
    value = table.frame[name][row].strip()
    message = f"{table.path}: column {name!r} is not numeric: {table.row_name(row)} holds {value!r}"
    if re.fullmatch(r"[-+]?\d*,\d+", value):
        message += f"; decimal commas are not supported, write {value.replace(',', '.')}"
    return message
