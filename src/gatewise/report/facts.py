"""What tables, sentences and charts all ask of a record: which runs count, who leads, how far memory reaches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gatewise.records.flow import Floats, RunFlow
from gatewise.records.schema import CellSummary, MetricRow, Record, Run

TOP = -1  # the last row of D is the top layer's state, forward in a unidirectional network


def cell_names(record: Record) -> list[str]:
    """Return the cells that were asked for, in the order asked, then any others that have runs."""
    return list(dict.fromkeys([*record.settings.cells, *(run.cell for run in record.runs)]))


def chosen_runs(record: Record, cell: str) -> list[Run]:
    """Return the runs of `cell` that count: at the learning rate chosen, one a seed."""
    return [run for run in record.runs if run.cell == cell and run.is_chosen]


def validations_of(run: Run, metrics: Sequence[MetricRow]) -> list[MetricRow]:
    """Return the validations of `run`, the earliest first."""
    identity = (run.cell, run.seed, run.learning_rate)
    rows = [row for row in metrics if (row.cell, row.seed, row.learning_rate) == identity]
    return sorted(rows, key=lambda row: row.step)


def summary_of(record: Record, cell: str) -> CellSummary | None:
    """Return the summary of `cell`; None while none of its runs is finished."""
    return next((summary for summary in record.cells if summary.cell == cell), None)


def mark(record: Record, cell: str) -> str:
    """Return ``"winner"``, ``"tied"`` or ``""``."""
    if record.verdict is None:
        return ""
    if cell == record.verdict.winner:
        return "winner"
    return "tied" if cell in record.verdict.tied else ""


def half_lives(flow: Sequence[RunFlow], cell: str) -> list[tuple[int, Floats]]:
    """Return ``(seed, half-lives)`` of each run of `cell`, the top layer's H units in steps; NaN left out."""
    found = [(run.seed, run.half_life[TOP]) for run in flow if run.cell == cell and run.half_life is not None]
    return [(seed, values[~np.isnan(values)]) for seed, values in found]


def median_half_life(flow: Sequence[RunFlow], cell: str) -> float | None:
    """Return the median over the units of all seeds, in steps; None for a cell without such a gate."""
    of_seeds = [values for _, values in half_lives(flow, cell)]
    units = np.concatenate(of_seeds) if of_seeds else np.empty(0)
    return float(np.median(units)) if units.size else None
