"""Take the text of a CSV file apart: which separator, which columns, which line is which row."""

from __future__ import annotations

import csv
import io
from itertools import islice

import polars as pl
from polars.exceptions import PolarsError

from gatewise.errors import DataError

SEPARATORS = ",;\t|"
_SAMPLE = 65536  # characters looked at to find the separator; Python's csv module refuses longer fields than twice that


def parse_csv(text: str, path: str) -> tuple[pl.DataFrame, int | None]:
    r"""Return the columns as text, and the line of the header.

    The line is None where rows and lines do not correspond (a quoted value may hold line ends).

    Parameters
    ----------
    text : str
        With ``\n`` at the end of its lines; empty lines before the header and after the last row are passed over.
    path : str
        What messages call the file.

    Raises
    ------
    DataError
        If the header does not name each column once, or a row does not fit the header.
    """
    body = text.strip("\n")
    separator = sniff_separator(body)
    names = _column_names(body, separator, path)
    header_line = len(text) - len(text.lstrip("\n")) + 1
    try:
        frame = pl.read_csv(io.StringIO(body), separator=separator, infer_schema_length=0)
    except PolarsError as error:
        raise DataError(_what_is_wrong(body, separator, path, header_line)) from error
    if frame.width != len(names):
        raise DataError(f"{path} has a header that cannot be taken apart: check its quotation marks")
    frame.columns = names
    is_row_a_line = body.count("\n") == frame.height
    return frame, header_line if is_row_a_line else None


def sniff_separator(text: str) -> str:
    r"""Return the separator that cuts the first lines most evenly into more than one piece, or a tab where none does.

    The tab leaves ``1,5`` below a lone column's name whole, so that the message about it can speak of a decimal comma.

    >>> sniff_separator("day;load\n1;3,5\n2;4,5")
    ';'
    """

    def merit(separator: str) -> tuple[bool, float, int]:
        widths = [len(row) for row in _first_rows(text, separator)]
        return widths[0] > 1, widths.count(widths[0]) / len(widths), widths[0]

    best = max(SEPARATORS, key=merit)
    return best if merit(best)[0] else "\t"


def _first_rows(text: str, separator: str, count: int = 20) -> list[list[str]]:
    return list(islice(csv.reader(io.StringIO(text[:_SAMPLE]), delimiter=separator), count))


def _column_names(text: str, separator: str, path: str) -> list[str]:
    """Return the stripped names of the header; columns without a name get ``column 3``."""
    header = [name.strip() for name in _first_rows(text, separator, count=1)[0]]
    if all(_is_number(name) for name in header):
        raise DataError(
            f"{path} must name its columns in the first line, which holds only numbers: {', '.join(header[:5])}"
        )
    names = [name or f"column {position}" for position, name in enumerate(header, start=1)]
    twice = [name for position, name in enumerate(names) if name in names[:position]]
    if twice:
        raise DataError(f"{path} has two columns named {twice[0]!r}")
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _what_is_wrong(text: str, separator: str, path: str, header_line: int) -> str:
    """Return the message about the first row that has more values than the header has names."""
    reader = csv.reader(io.StringIO(text), delimiter=separator)
    width = len(next(reader))
    try:
        for number, row in enumerate(reader, start=1):
            if len(row) > width:
                where = f"row {number} (line {reader.line_num + header_line - 1} of the file)"
                return f"{path}: {where} has {len(row)} values, but the header names {width} columns"
    except csv.Error:
        pass
    return f"{path} cannot be taken apart into columns: check its quotation marks"
