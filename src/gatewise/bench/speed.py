"""What `gatewise bench` measures, and what follows: whether it is faster on this machine, at these sizes."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gatewise._native import num_threads
from gatewise.bench.layers import compare_layers, gemm_flops_per_s
from gatewise.bench.problem import CELLS, GRID, JOBS, Size
from gatewise.bench.record import BenchRecord, Point
from gatewise.bench.statistics import geometric_mean
from gatewise.bench.turns import Pace
from gatewise.bench.verdict import Verdict, judge
from gatewise.errors import UsageError, nearest
from gatewise.records import usable_cores


@dataclass(frozen=True)
class BenchSettings:
    """What to time.

    Attributes
    ----------
    cells : tuple of str
    sizes : tuple of Size
    threads : int, optional
        Of torch and of the kernels, which obey it; torch's own choice if left out.
    pace : Pace
        Of each cell, size and job.
    """

    cells: tuple[str, ...] = CELLS
    sizes: tuple[Size, ...] = GRID
    threads: int | None = None
    pace: Pace = field(default_factory=Pace)

    def __post_init__(self) -> None:
        for cell in self.cells:
            if cell not in CELLS:
                raise UsageError(f"unknown cell {cell!r}{nearest(cell, CELLS)}; known: {', '.join(CELLS)}")
        for name, values in (("cells", self.cells), ("sizes", self.sizes)):
            if not values or len(set(values)) < len(values):
                raise UsageError(f"{name} must be one or more different ones, got {', '.join(map(str, values))!r}")
        if self.threads is not None and not 1 <= self.threads <= usable_cores():
            raise UsageError(
                f"--threads must be from 1 to the {usable_cores()} cores of this machine, got {self.threads}"
            )


def measure_speed(settings: BenchSettings, on_point: Callable[[Point], None] = lambda point: None) -> BenchRecord:
    """Time gatewise's layers against torch.nn's.

    Parameters
    ----------
    settings : BenchSettings
    on_point : callable
        Told of each point when it is done: one a cell, size and job.

    Raises
    ------
    GatewiseError
        If the two disagree, or where there are no kernels.
    """
    points, rates = [], []
    with num_threads(settings.threads) as threads:
        for cell in settings.cells:
            for size in settings.sizes:
                rates.append(gemm_flops_per_s())
                for point in compare_layers(cell, size, JOBS, settings.pace):
                    points.append(point)
                    on_point(point)
        return BenchRecord.of_now("layers", points, rates, threads)


def conclusion(points: Sequence[Point]) -> str:
    """Return one sentence that says whether gatewise is faster, where not, and how sure that is."""
    verdicts = [(point, judge(point, claim)) for point in points for claim in point.claims]
    ratios = [verdict.estimate.value for _, verdict in verdicts]
    text = (
        f"gatewise is {geometric_mean(ratios):.2f} times as fast as torch.nn (geometric mean over {len(ratios)} points"
    )
    text += f", {min(ratios):.2f} to {max(ratios):.2f})"
    same = sum(verdict.is_no_difference for _, verdict in verdicts)
    slower = [_name(point, verdict) for point, verdict in verdicts if verdict.estimate.high < 1]
    parts = [text, f"no difference at {same}" if same else "", "slower at " + "; ".join(slower) if slower else ""]
    return "; ".join(filter(None, parts)) + "."


def _name(point: Point, verdict: Verdict) -> str:
    return f"{point.label} {point.job} ({verdict.estimate.value:.2f})"


def gflops_per_s(point: Point, contestant: str) -> float | None:
    """Return the rate at which a contestant does the point's matrix products, in 1e9 operations a second."""
    return None if point.flops is None else point.flops / statistics.median(point.samples[contestant]) / 1e9
