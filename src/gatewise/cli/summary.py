"""The result of a comparison as a table on the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from gatewise.records import CellSummary, Record


def print_summary(record: Record, report: Path) -> None:
    """Print table, verdict and where the report is."""
    console = Console(highlight=False)
    console.print(_table(record))
    if record.verdict is not None:
        console.print(record.verdict.text, style="bold", markup=False)
        for reason in record.verdict.reasons:
            console.print(f"  {reason.text}", markup=False)
    console.print(f"\nReport: {report}", markup=False, soft_wrap=True)


def _table(record: Record) -> Table:
    has_goal = record.task.goal is not None
    table = Table(title=None, box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for header in (
        "hidden",
        "parameters",
        "lr",
        record.metric.name,
        *(["solved"] if has_goal else []),
        "horizon",
        "seconds",
    ):
        table.add_column(header, justify="right")
    for summary in record.cells:
        table.add_row(*_row(summary, has_goal))
    for baseline in record.baselines:
        table.add_row(
            baseline.name, "", "", "", f"{baseline.score:.3g}", *([""] if has_goal else []), "", "", style="dim"
        )
    return table


def _row(summary: CellSummary, has_goal: bool) -> list[str]:
    spread = "" if summary.std_score is None else f" ± {summary.std_score:.1g}"
    horizon = "-" if summary.horizon is None else f"{'≥ ' if summary.horizon_is_censored else ''}{summary.horizon:g}"
    return [
        summary.cell,
        str(summary.hidden_size),
        str(summary.parameters),
        f"{summary.learning_rate:g}",
        f"{summary.mean_score:.3g}{spread}",
        *([f"{summary.solved} of {summary.seeds}"] if has_goal else []),
        horizon,
        f"{summary.seconds:.0f}",
    ]
