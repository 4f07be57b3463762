"""The run folder ``runs/NAME/``: config.toml, record.json, metrics.jsonl, flow.npz and .json, report.html, the runs."""

from __future__ import annotations

import io
import json
import re
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tomli_w
from numpy.typing import NDArray
from pydantic import ValidationError

from gatewise.errors import DataError, GatewiseError, UsageError
from gatewise.records.atomic import write_bytes, write_text
from gatewise.records.flow import FlowCurve, RunFlow
from gatewise.records.measures import FlowMeasures
from gatewise.records.schema import SCHEMA_VERSION, MetricRow, Record, Settings

RECORD_FILE, METRICS_FILE, FLOW_FILE, MEASURES_FILE, CONFIG_FILE, REPORT_FILE = (
    "record.json",
    "metrics.jsonl",
    "flow.npz",
    "flow.json",
    "config.toml",
    "report.html",
)


@dataclass(frozen=True)
class RunFolder:
    """One comparison on the disk; every write is atomic, so a kill leaves the last complete state."""

    path: Path

    def write_settings(self, settings: Settings) -> None:
        """Write ``config.toml``: what was asked for."""
        write_text(self.path / CONFIG_FILE, tomli_w.dumps(settings.model_dump(exclude_none=True)))

    def write_record(self, record: Record) -> None:
        """Write ``record.json``."""
        write_text(self.path / RECORD_FILE, record.model_dump_json(by_alias=True, indent=1) + "\n")

    def write_metrics(self, rows: Sequence[MetricRow]) -> None:
        """Write ``metrics.jsonl``, one validation a line."""
        write_text(self.path / METRICS_FILE, "".join(row.model_dump_json() + "\n" for row in rows))

    def write_flow(self, flow: Sequence[RunFlow]) -> None:
        """Write ``flow.npz``; keys are CELL/seedN/{before,after}/{lags,log_norm} and CELL/seedN/half_life."""
        arrays: dict[str, NDArray[np.float64] | NDArray[np.int64]] = {}
        for run in flow:
            prefix = f"{run.cell}/seed{run.seed}"
            for moment, curve in (("before", run.before), ("after", run.after)):
                arrays[f"{prefix}/{moment}/lags"] = curve.lags
                arrays[f"{prefix}/{moment}/log_norm"] = curve.log_norm
            if run.half_life is not None:
                arrays[f"{prefix}/half_life"] = run.half_life
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        write_bytes(self.path / FLOW_FILE, buffer.getvalue())

    def write_measures(self, measures: FlowMeasures) -> None:
        """Write ``flow.json``: what `gatewise flow` measured on the run's networks."""
        write_text(self.path / MEASURES_FILE, measures.model_dump_json(by_alias=True, indent=1) + "\n")

    def write_report(self, page: str) -> Path:
        """Write ``report.html`` and return its path."""
        write_text(self.path / REPORT_FILE, page)
        return self.path / REPORT_FILE

    def remove(self) -> None:
        """Remove the folder and all that was written into it."""
        shutil.rmtree(self.path)

    def read_record(self) -> Record:
        """Read ``record.json``."""
        text = self._read(RECORD_FILE)
        try:
            version = json.loads(text).get("schema")
            if version != SCHEMA_VERSION:
                raise DataError(
                    f"{self.path / RECORD_FILE} has schema version {version!r}; "
                    f"this Gatewise reads version {SCHEMA_VERSION}"
                )
            return Record.model_validate_json(text)
        except (ValidationError, ValueError, AttributeError) as error:
            first_line = str(error).splitlines()[0]
            raise DataError(f"{self.path / RECORD_FILE} is not a complete run record: {first_line}") from error

    def read_metrics(self) -> list[MetricRow]:
        """Read ``metrics.jsonl``."""
        try:
            return [MetricRow.model_validate_json(line) for line in self._read(METRICS_FILE).splitlines()]
        except ValidationError as error:
            raise DataError(f"{self.path / METRICS_FILE} is damaged: a line is not what Gatewise writes") from error

    def read_flow(self) -> list[RunFlow]:
        """Read ``flow.npz``; no pickle is ever read."""
        path = self.path / FLOW_FILE
        try:
            with np.load(path, allow_pickle=False) as arrays:
                prefixes = dict.fromkeys(key.split("/", 2)[0] + "/" + key.split("/", 2)[1] for key in arrays.files)
                return [_read_run_flow(arrays, prefix) for prefix in prefixes]
        except (OSError, EOFError, ValueError, LookupError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} cannot be read: {error}") from error

    def read_measures(self) -> FlowMeasures | None:
        """Read ``flow.json``; None where nobody has measured yet."""
        if not (self.path / MEASURES_FILE).exists():
            return None
        try:
            return FlowMeasures.model_validate_json(self._read(MEASURES_FILE))
        except ValidationError as error:
            raise DataError(
                f"{self.path / MEASURES_FILE} is not what this Gatewise writes; run `gatewise flow` again, or remove it"
            ) from error

    def _read(self, name: str) -> str:
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{self.path / name} cannot be read: {error}") from error


def _read_run_flow(arrays: np.lib.npyio.NpzFile, prefix: str) -> RunFlow:
    cell, seed = prefix.split("/")
    before, after = (
        FlowCurve(arrays[f"{prefix}/{moment}/lags"], arrays[f"{prefix}/{moment}/log_norm"])
        for moment in ("before", "after")
    )
    half_life = arrays[f"{prefix}/half_life"] if f"{prefix}/half_life" in arrays.files else None
    return RunFlow(cell, int(seed.removeprefix("seed")), before, after, half_life)


def create_folder(runs: Path, name: str) -> RunFolder:
    """Make ``runs/name``, or where that is taken ``runs/name-2``, ``-3`` and so on."""
    safe = re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "run"
    number = 1
    while True:
        path = runs / (safe if number == 1 else f"{safe}-{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError as error:
            if not runs.is_dir():
                raise UsageError(f"cannot write runs below {runs}: it is not a folder") from error
            number += 1
        except OSError as error:
            raise GatewiseError(f"cannot create {path}: {error.strerror or error}") from error
        else:
            return RunFolder(path)


def create_exact_folder(path: Path, force: bool) -> RunFolder:
    """Make `path` itself; an existing run is replaced only if `force`, and nothing else ever is."""
    try:
        if path.exists() and not force:
            raise UsageError(f"{path} exists; choose another --out, or --force to replace the run in it")
        if path.exists():
            _clear_run(path)
        path.mkdir(parents=True)
    except OSError as error:
        raise GatewiseError(f"cannot write {path}: {error.strerror or error}") from error
    return RunFolder(path)


def open_folder(path: Path) -> RunFolder:
    """Return an existing run's folder."""
    if not (path / RECORD_FILE).is_file():
        raise UsageError(f"{path} is not a run: it has no {RECORD_FILE}; give a folder that `gatewise compare` wrote")
    return RunFolder(path)


def _clear_run(path: Path) -> None:
    """Remove a run, or an empty folder; refuse to remove anything else."""
    is_run = (path / RECORD_FILE).is_file() or (path / CONFIG_FILE).is_file()
    if not path.is_dir() or (any(path.iterdir()) and not is_run):
        raise UsageError(
            f"{path} exists and is not a run of Gatewise, so --force does not replace it; choose another --out"
        )
    shutil.rmtree(path)
