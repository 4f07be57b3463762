"""What a benchmark leaves behind, schema version 1: every sample, and all that is needed to judge it.

Ratios and verdicts are not kept: they follow from the samples (`verdict.py`).
"""

from __future__ import annotations

import os
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationError

from gatewise.bench.problem import Size
from gatewise.errors import DataError
from gatewise.records import Machine, machine_facts
from gatewise.records.atomic import write_text
from gatewise.records.schema import Part

SCHEMA_VERSION: Final = 1
_VARIABLES = ("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "GATEWISE_", "MALLOC_", "XLA_", "ONEDNN_", "DNNL_")


class Claim(Part):
    """That one contestant's times relate to another's in a certain way; without a target the figure is only shown.

    A ratio is that of the medians, a median ratio the median of the rounds' ratios, a difference that of their
    differences.
    """

    of: str
    over: str
    statistic: Literal["ratio", "median ratio", "difference"] = "ratio"
    bound: Literal["at least", "at most"] = "at least"
    target: float | None = None


class Point(Part):
    """One cell, size and job, measured for all contestants."""

    cell: str  # "" where no layer is measured
    size: Size | None = None
    job: str
    form: str = ""  # what is special about it: "packed", "lengths", "recording" ...
    unit: Literal["s", "bytes"] = "s"
    samples: dict[str, list[float]]  # by contestant, one a round; those of one claim in the same rounds
    flops: int | None = None  # of the matrix products of one run
    cores_busy: dict[str, float] = Field(
        default_factory=dict
    )  # CPU seconds a second, by contestant, where it was looked at
    claims: tuple[Claim, ...] = ()

    @property
    def label(self) -> str:
        """A readable name.

        >>> Point(cell="GRU", size=Size(1, 2, 3, 4), job="training", form="packed", samples={}).label
        'GRU 1x2x3x4 packed'
        """
        return " ".join(filter(None, [self.cell, str(self.size or ""), self.form]))


class BenchRecord(Part):
    """One run of a benchmark."""

    schema_version: Literal[1] = Field(default=SCHEMA_VERSION, alias="schema")
    table: str
    command: str
    date: str  # ISO 8601, UTC
    machine: Machine
    threads: int
    environment: dict[str, str]  # variables that steer threads, memory and instruction sets
    versions: dict[str, str] = Field(default_factory=dict)  # of frameworks that took part beside torch
    absent: dict[str, str] = Field(default_factory=dict)  # contestants that could not take part, and why
    gemm_flops_per_s: list[float]  # torch.mm at 2048, sampled before each point
    points: list[Point]

    @classmethod
    def of_now(
        cls,
        table: str,
        points: list[Point],
        gemm_flops_per_s: list[float],
        threads: int,
        versions: dict[str, str] | None = None,
        absent: dict[str, str] | None = None,
    ) -> BenchRecord:
        """Return the record of what this process has just measured."""
        return cls(
            table=table,
            command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=machine_facts(jobs=1, threads_per_run=threads),
            threads=threads,
            environment={key: value for key, value in sorted(os.environ.items()) if key.startswith(_VARIABLES)},
            versions=versions or {},
            absent=absent or {},
            gemm_flops_per_s=gemm_flops_per_s,
            points=points,
        )

    def to_json(self) -> str:
        """Return the record as JSON text."""
        return self.model_dump_json(by_alias=True)

    def write(self, path: Path) -> None:
        """Write the record as JSON, whole or not at all."""
        write_text(path, self.to_json() + "\n")

    @classmethod
    def read(cls, path: Path) -> BenchRecord:
        """Read what `write` wrote.

        Raises
        ------
        DataError
            If the file is no benchmark record of this version.
        """
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"])) or "the whole"
            raise DataError(f"{path} is no benchmark record of schema {SCHEMA_VERSION}: {where} is wrong") from None
