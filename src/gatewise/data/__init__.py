"""Real data as tasks: texts and tables read, split in time, scaled and cut into windows, and some that are built in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gatewise.data.built_in import BUILT_IN

if TYPE_CHECKING:
    from gatewise.data.forecast import ForecastTask
    from gatewise.data.sources import open_source
    from gatewise.data.table import Table, read_table
    from gatewise.data.text import CharacterTask, Text, read_text

__all__ = [
    "BUILT_IN",
    "CharacterTask",
    "ForecastTask",
    "Table",
    "Text",
    "open_source",
    "read_table",
    "read_text",
]

_HOMES = {
    "CharacterTask": "text",
    "ForecastTask": "forecast",
    "Table": "table",
    "Text": "text",
    "open_source": "sources",
    "read_table": "table",
    "read_text": "text",
}


def __getattr__(name: str) -> Any:
    """Import the public names on first use: the names of the built-in data must cost neither torch nor polars."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
