"""The record of a yardstick, schema version 1: a published claim, what was run, and what came of it.

``yardstick.json`` lies in a folder of its own below ``runs/``. The rule of `schema.py` holds: a field may be added
within a version; anything else raises YARDSTICK_SCHEMA_VERSION.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, ValidationError

from gatewise.errors import DataError
from gatewise.records.atomic import write_text
from gatewise.records.schema import Machine, MaybeNan, Part

YARDSTICK_SCHEMA_VERSION = 1
YARDSTICK_FILE = "yardstick.json"


class YardstickRun(Part):
    """One seed."""

    seed: int
    seconds: float
    numbers: dict[str, MaybeNan]


class YardstickCriterion(Part):
    """A statistic over the seeds against its threshold."""

    text: str
    statistic: MaybeNan
    rule: Literal["at least", "at most"]
    threshold: float
    holds: bool


class YardstickRecord(Part):
    """What one yardstick gave."""

    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    name: str
    status: Literal["running", "complete"]
    created: str  # ISO 8601, UTC
    command: str
    gatewise_version: str
    machine: Machine
    source: str
    claim: str
    theirs: str
    theirs_known_from: Literal["paper", "abstract", "memory"]
    ours: str
    judged: str
    quick: str | None  # what was reduced; None for a run at full size
    shown: list[str]  # names of the numbers that tables show; the rest only feed the criteria
    seeds: list[int]  # those that were asked for; `runs` holds those that are done
    runs: list[YardstickRun]
    criteria: list[YardstickCriterion]  # empty where nothing is judged
    reproduced: bool | None  # None: not judged, because quick, unfinished or below three seeds

    model_config = ConfigDict(populate_by_name=True)


def write_yardstick(folder: Path, record: YardstickRecord) -> Path:
    """Write ``yardstick.json`` so that a kill leaves the old file or the new one; return its path."""
    path = folder / YARDSTICK_FILE
    write_text(path, record.model_dump_json(by_alias=True, indent=1) + "\n")
    return path


def read_yardstick(path: Path) -> YardstickRecord:
    """Read a yardstick's record.

    Raises
    ------
    DataError
        If it cannot be read, is of another schema version, or is not complete.
    """
    try:
        text = path.read_text(encoding="utf-8")
        version = json.loads(text).get("schema")
        if version != YARDSTICK_SCHEMA_VERSION:
            raise DataError(
                f"{path} has schema version {version!r}; this Gatewise reads version {YARDSTICK_SCHEMA_VERSION}"
            )
        return YardstickRecord.model_validate_json(text)
    except (OSError, ValidationError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is not a yardstick's record: {str(error).splitlines()[0]}") from error
