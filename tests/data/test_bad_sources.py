"""Everything a user can get wrong ends in one line that says what, and in the right exit code."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data.small_files import GOOD, LINES, Write
from gatewise.data import open_source
from gatewise.errors import DataError, GatewiseError, UsageError


def with_load(row: int, value: str) -> str:
    """Return the good table with another load in a row, counted from 1."""
    return "\n".join([*LINES[:row], f"{row - 1},{value},1", *LINES[row + 1 :]])


USAGE: list[tuple[str, str | bytes, dict[str, Any], str]] = [
    ("g.csv", GOOD, {}, r"say with --target which column to forecast \(its numeric columns: day, load, wind\)$"),
    ("w.csv", "a,b\nx,y\n", {}, r"\(but none of its columns is numeric\)$"),
    ("g.csv", GOOD, {"target": "laod"}, r"no column 'laod'; did you mean 'load'\? \(its columns: day, load, wind\)"),
    ("g.csv", GOOD, {"target": "load", "inputs": ["x"]}, "no column 'x'"),
    ("g.csv", GOOD, {"target": "load", "time": "dai"}, r"no column 'dai'; did you mean 'day'\?"),
    ("g.csv", GOOD, {"target": "load", "time": "load"}, "'load' cannot be both --target and --time"),
    ("g.csv", GOOD, {"target": "load", "inputs": ["load"]}, "leave it out of --inputs"),
    ("g.csv", GOOD, {"target": "load", "inputs": ["wind", "wind"]}, "'wind' is given twice in --inputs"),
    ("g.csv", GOOD, {"target": "load", "window": 0}, "--window must be at least 1, got 0"),
    ("g.csv", GOOD, {"target": "load", "horizon": -1}, "--horizon must be at least 1, got -1"),
    ("g.csv", GOOD, {"target": "load", "length": 9}, "--length cannot be used: g.csv is read as a table"),
    ("c.csv", with_load(57, "high"), {"target": "load"}, r"not numeric: row 57 \(line 58 of the file\) holds 'high'$"),
    ("c.csv", with_load(2, '"3,5"'), {"target": "load"}, "holds '3,5'; decimal commas are not supported, write 3.5$"),
    ("c.csv", "v\n1,5\n2,5\n", {"target": "v"}, "holds '1,5'; decimal commas"),
    ("x.json", "[]", {"target": "load"}, "--target cannot be used: x.json is read as a text; tables end in .csv, .tsv"),
    ("b.txt", "x" * 999, {"window": 3}, "--window cannot be used: b.txt is read as a text"),
]


@pytest.mark.parametrize(("name", "content", "options", "message"), USAGE)
def test_wrong_option_is_wrong_usage(
    write: Write, name: str, content: str | bytes, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as refusal:
        open_source(write(name, content), **options)
    assert refusal.value.exit_code == 2
    assert "\n" not in str(refusal.value)


BAD: list[tuple[str, str | bytes, str]] = [
    ("e.csv", b"", "^e.csv is empty$"),
    ("e.csv", " \n\n", "nothing but white space"),
    ("e.csv", b"a,load\n\0\1", "^e.csv is binary, not text; a table must be saved as .csv, .tsv or .parquet$"),
    ("e.csv", "day,load\n".encode("utf-16"), "is UTF-16; save it as UTF-8"),
    ("e.csv", "day,load\n1,2\n3,\xe9\n".encode("latin-1"), "is not UTF-8: line 3 holds the byte 0xe9"),
    ("e.parquet", "day,load", "is not a Parquet file, or is damaged"),
    ("h.csv", "day,load\n", "names its columns but has no rows"),
    ("h.csv", "day,load", "names its columns but has no rows"),
    ("h.csv", "1.5,2\n2.5,3\n", "must name its columns in the first line, which holds only numbers: 1.5, 2$"),
    ("h.csv", "load,load\n1,2\n", "has two columns named 'load'"),
    ("r.csv", "\na,load\n1,2\n3,4,5\n", r"row 2 \(line 4 of the file\) has 3 values, but the header names 2 columns"),
    ("q.csv", 'a,load\n1,"2\n3,4\n', "check its quotation marks"),
    ("m.csv", with_load(57, ""), r"'load' has no value in row 57 \(line 58 of the file\)"),
    ("m.csv", with_load(57, "NaN"), r"'load' has no value in row 57 \(line 58 of the file\)"),
    ("m.csv", "\n\n" + with_load(57, " N/A "), r"'load' has no value in row 57 \(line 60 of the file\)"),
    ("m.csv", with_load(57, "-inf"), r"'load' is infinite in row 57 \(line 58 of the file\)"),
    ("m.csv", "a,load\n1,2\n3\n", r"'load' has no value in row 2 \(line 3 of the file\)"),
    ("q.csv", 'a,load\n"x\ny",1\nz,\n', "'load' has no value in row 2;"),  # rows are not lines here
    ("k.csv", "load\n" + "3\n" * 80 + "4\n" * 20, r"'load' is constant \(3\) in the training part, the first 70 rows"),
    ("k.csv", "load\n" + "1e300\n-1e300\n" * 50, "cannot be scaled: its standard deviation is inf"),
    (
        "s.csv",
        "\n".join(LINES[:60]),
        "has 59 rows; a window of 48 with a horizon of 1 needs at least 70, .*shorter --window",
    ),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD)
def test_unusable_table_is_bad_data(write: Write, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as refusal:
        open_source(write(name, content), target="load")
    assert refusal.value.exit_code == 1
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("e.txt", b"", "^e.txt is empty$"),
        ("e.bin", b"\0\1", "is binary, not text"),
        ("e.txt", b"caf\xe9" * 500, "is not UTF-8: line 1 holds the byte 0xe9"),
        ("e.txt", "one line", "e.txt has 8 characters; sequences of 64 need at least 650"),
    ],
)
def test_unusable_text_is_bad_data(write: Write, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_source(write(name, content))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("missing.csv", "^no file named missing.csv$"),
        (
            "missing",
            r"^no file or built-in named 'missing' \(built in: adding, copy, temporal-order, python-help, el-nino\)$",
        ),
        ("el-nini", r"did you mean 'el-nino'\?"),
        ("folder", "^folder is a directory; give a file$"),
        ("folder.csv", "^folder.csv is a directory; give a file$"),
    ],
)
def test_unknown_source_is_wrong_usage(write: Write, source: str, message: str) -> None:
    Path("folder").mkdir()
    Path("folder.csv").mkdir()
    with pytest.raises(UsageError, match=message):
        open_source(source)


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ("text", UsageError, "not numeric: row 1 holds 'a'$"),
        ("flag", UsageError, "not numeric, it holds Boolean"),
        ("when", UsageError, "not numeric, it holds Datetime"),
        ("holes", DataError, "'holes' has no value in row 2;"),
    ],
)
def test_parquet_rows_have_no_lines(write: Write, target: str, error: type[GatewiseError], message: str) -> None:
    rows = {"text": ["a", "b"], "flag": [True, False], "when": [datetime(2024, 1, 1)] * 2, "holes": [1.0, None]}
    pl.DataFrame(rows).write_parquet("p.parquet")
    with pytest.raises(error, match=message):
        open_source("p.parquet", target=target)
