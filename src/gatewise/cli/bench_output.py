"""What `gatewise bench` shows: points as they are done, then the table and its sentence."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from gatewise.bench import JOBS, BenchRecord, BenchSettings, Point, conclusion, gflops_per_s, judge


@contextmanager
def point_progress(settings: BenchSettings) -> Iterator[Callable[[Point], None]]:
    """Yield what is to be told of each point: a bar on a terminal, a line a point elsewhere; on stderr."""
    console = Console(stderr=True, highlight=False)
    total = len(settings.cells) * len(settings.sizes) * len(JOBS)
    if not console.is_terminal:
        done = iter(range(1, total + 1))
        yield lambda point: console.print(
            f"[{next(done)}/{total}] {point.label} {point.job}", markup=False, soft_wrap=True
        )
        return
    columns = TextColumn("{task.description:<30}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("checking that they agree", total=total)
        yield lambda point: bar.update(task, advance=1, description=f"{point.label} {point.job}")


def print_result(record: BenchRecord) -> None:
    """Print where it was measured, the table, and what it says."""
    console = Console(highlight=False)
    machine = record.machine
    threads = f"{record.threads} thread{'s' if record.threads > 1 else ''}"
    rate = statistics.median(record.gemm_flops_per_s) / 1e9
    where = f"{machine.processor}, {threads}, {machine.cpu_level}, torch {machine.packages['torch']}"
    console.print(f"{where}; torch.mm: {rate:.0f} GFLOP/s\n", markup=False, soft_wrap=True)
    console.print(_table(record))
    console.print(f"\n{conclusion(record.points)}", style="bold", markup=False, soft_wrap=True)


def _table(record: BenchRecord) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("ms", no_wrap=True)
    table.add_column("", no_wrap=True)
    for header in ("torch.nn", "gatewise", "GFLOP/s", "times as fast"):
        table.add_column(header, justify="right", no_wrap=True)
    for point in record.points:
        table.add_row(*_row(point))
    return table


def _row(point: Point) -> list[str]:
    verdict = judge(point, point.claims[0])
    estimate = verdict.estimate
    medians = [f"{1e3 * statistics.median(point.samples[name]):.3g}" for name in ("torch.nn", "gatewise")]
    ratio = f"{estimate.value:.2f} ({estimate.low:.2f}-{estimate.high:.2f})"
    rate = gflops_per_s(point, "gatewise") or 0.0
    return [point.label, point.job, *medians, f"{rate:.3g}", "no difference" if verdict.is_no_difference else ratio]
