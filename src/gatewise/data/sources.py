"""From what a user types to a task: a built-in's name, a table, or a text."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gatewise.data.built_in import BUILT_IN, EL_NINO, EL_NINO_WINDOW, python_help
from gatewise.data.columns import numeric_columns
from gatewise.data.files import read_bytes
from gatewise.data.forecast import ForecastTask
from gatewise.data.table import Table, is_table, listed, read_table, table_from_bytes
from gatewise.data.text import CharacterTask, Text, read_text, text_from_bytes
from gatewise.errors import UsageError, nearest
from gatewise.tasks import MEMORY_TASKS, Task


def open_source(
    source: str,
    *,
    target: str | None = None,
    window: int | None = None,
    horizon: int | None = None,
    time: str | None = None,
    inputs: Sequence[str] = (),
    length: int | None = None,
) -> Task:
    """Return the task that is to be learned from `source`.

    Parameters
    ----------
    source : str
        The name of built-in data; else the path of a table (.csv, .tsv, .parquet); else the path of a text. A file that
        is called like built-in data is reached as ``./el-nino``.
    target, window, horizon, time, inputs
        Of tables only, see `ForecastTask`; `target` must be given unless the table is built in.
    length : int, optional
        Of texts only: the length of the training sequences, see `CharacterTask`.

    Raises
    ------
    UsageError
        If there is no such source, or an option does not belong to it.
    DataError
        If the data cannot be used.

    Examples
    --------
    >>> open_source("el-nino", window=24).description
    'Forecast the next value of temperature from the last 24 rows of temperature.'
    """
    table_options = {
        "target": target,
        "window": window,
        "horizon": horizon,
        "time": time,
        "inputs": tuple(inputs) or None,
    }
    if source == "el-nino" or (source != "python-help" and is_table(source)):
        _refuse(source, "a table", {"length": length}, "--length belongs to texts, a table takes --window")
        return _forecast(source, _given(table_options))
    if source not in BUILT_IN and not Path(source).exists():
        known = [*MEMORY_TASKS, *BUILT_IN]
        raise UsageError(f"no file or built-in named {source!r}{nearest(source, known)} (built in: {', '.join(known)})")
    _refuse(source, "a text", table_options, "tables end in .csv, .tsv or .parquet")
    text = _python_help() if source == "python-help" else read_text(source)
    return CharacterTask(text) if length is None else CharacterTask(text, length)


def _forecast(source: str, options: dict[str, Any]) -> ForecastTask:
    if source == "el-nino":
        return ForecastTask(
            _el_nino(), **{"target": "temperature", "time": "month", "window": EL_NINO_WINDOW, **options}
        )
    table = read_table(source)
    if "target" not in options:
        candidates = numeric_columns(table)
        choice = f"its numeric columns: {listed(candidates)}" if candidates else "but none of its columns is numeric"
        raise UsageError(f"{source} is a table: say with --target which column to forecast ({choice})")
    return ForecastTask(table, **options)


def _el_nino() -> Table:
    table = table_from_bytes(read_bytes(EL_NINO), str(EL_NINO))
    return replace(table, source=replace(table.source, path="el-nino (built in)"))


def _python_help() -> Text:
    path = f"python-help (built in, Python {platform.python_version()})"
    return text_from_bytes(python_help().encode(), path, "python-help")


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _refuse(source: str, kind: str, options: dict[str, Any], hint: str) -> None:
    """Raise a UsageError if one of the `options` is given, as they do not belong to this kind of data."""
    given = list(_given(options))
    if given:
        raise UsageError(f"--{given[0]} cannot be used: {source} is read as {kind}; {hint}")
