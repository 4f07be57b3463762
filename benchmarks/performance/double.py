"""The gated layers in float64."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from gatewise.bench import JOBS, Claim, LayerPair, Point, take_turns
from performance.table import Part, Table

TARGET = 2.0


def measure(part: Part) -> Iterator[Point]:
    for size in part.sizes:
        pair = LayerPair(part.cell, size, torch.float64)
        for job in JOBS:
            yield Point(
                cell=part.cell,
                size=size,
                job=job,
                form="float64",
                samples=take_turns(pair.contestants(job), part.pace),
                claims=(Claim(of="torch.nn", over="gatewise", target=TARGET),),
            )


TABLE = Table(
    "double",
    "float64",
    "Against torch.nn. The target is twice as fast.",
    measure,
    cells=("LSTM", "GRU"),
)
