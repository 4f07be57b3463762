"""Real data as tasks: texts and tables read, split in time, scaled and cut into windows, and some that are built in."""

from gatewise.data.built_in import BUILT_IN
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
