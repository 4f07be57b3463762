"""A small table as it stands in a file, and the type of the fixture that writes files."""

from __future__ import annotations

from collections.abc import Callable

Write = Callable[[str, str | bytes], str]

LINES = ["day,load,wind", *(f"{day},{day * day % 11}.5,{day % 5}" for day in range(100))]
GOOD = "\n".join(LINES) + "\n"
