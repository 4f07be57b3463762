"""A table as the user sees it: columns by name, rows numbered as in a spreadsheet."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from polars.exceptions import PanicException, PolarsError

from gatewise.data.csv_text import parse_csv
from gatewise.data.files import decode, grouped, read_bytes, sha256
from gatewise.errors import DataError, UsageError, nearest
from gatewise.tasks import Source

EXTENSIONS = (".csv", ".tsv", ".parquet")


@dataclass(frozen=True)
class Table:
    """Columns of equal length and where they come from.

    Attributes
    ----------
    frame : polars.DataFrame
        R rows; the columns of a CSV file are text.
    source : Source
    header_line : int or None
        The line of the file that names the columns, where every row is one line below it; None elsewhere.
    """

    frame: pl.DataFrame
    source: Source
    header_line: int | None

    @property
    def path(self) -> str:
        """What messages call the table."""
        return self.source.path

    def column(self, name: str) -> pl.Series:
        """Return the column called `name`; a UsageError lists the columns if there is none."""
        if name not in self.frame.columns:
            raise UsageError(
                f"{self.path} has no column {name!r}{nearest(name, self.frame.columns)} "
                f"(its columns: {listed(self.frame.columns)})"
            )
        return self.frame[name]

    def row_name(self, row: int) -> str:
        """Return what a message calls the row at index `row`: ``row 57 (line 58 of the file)``."""
        number = row + 1
        return (
            f"row {number}"
            if self.header_line is None
            else f"row {number} (line {number + self.header_line} of the file)"
        )


def listed(names: list[str], at_most: int = 20) -> str:
    """Return the names separated by commas, shortened where there are many.

    >>> listed(["a", "b", "c"], at_most=2)
    'a, b, ... (3 in all)'
    """
    shown = ", ".join(names[:at_most])
    return shown if len(names) <= at_most else f"{shown}, ... ({len(names)} in all)"


def is_table(path: str | Path) -> bool:
    """Whether the extension is one of a table: .csv, .tsv or .parquet."""
    return Path(path).suffix.lower() in EXTENSIONS


def read_table(path: str | Path) -> Table:
    """Read a CSV or Parquet file.

    Raises
    ------
    UsageError
        If there is no such file, it cannot be read, or its extension is not that of a table.
    DataError
        If it is empty, damaged or has no rows.
    """
    content = read_bytes(path)
    if not is_table(path):
        raise UsageError(f"{path} is not known as a table; save it as {', '.join(EXTENSIONS[:-1])} or {EXTENSIONS[-1]}")
    return table_from_bytes(content, str(path))


def table_from_bytes(content: bytes, path: str) -> Table:
    """Return the `Table` of a file's bytes; `path` tells the format and names it in messages."""
    header_line = None
    if Path(path).suffix.lower() == ".parquet":
        frame = _parse_parquet(content, path)
    else:
        frame, header_line = parse_csv(decode(content, path), path)
    if not frame.height:
        raise DataError(f"{path} names its columns but has no rows")
    return Table(frame, Source(path, sha256(content), f"{grouped(frame.height)} rows"), header_line)


def _parse_parquet(content: bytes, path: str) -> pl.DataFrame:
    try:
        return pl.read_parquet(io.BytesIO(content))
    except (PolarsError, PanicException) as error:  # damaged pages can make polars panic
        raise DataError(f"{path} is not a Parquet file, or is damaged") from error
