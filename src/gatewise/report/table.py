"""The rows of the two tables, every number already in words; the template only lays them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from gatewise.records.flow import RunFlow
from gatewise.records.schema import CellSummary, Record, Run
from gatewise.report.colours import colour
from gatewise.report.facts import chosen_runs, mark, median_half_life
from gatewise.report.numbers import THIN_SPACE, count, duration, number, plain_number, plus_minus, steps

NONE = "–"


@dataclass(frozen=True)
class CellRow:
    """One cell over its seeds."""

    cell: str
    colour: str
    mark: str  # "winner", "tied" or ""
    hidden_size: str
    parameters: str
    learning_rate: str
    score: str
    seeds: int
    diverged: str  # "1 of 3 diverged" or ""
    solved: str
    horizon: str
    half_life: str
    time: str
    step_time: str  # "1.2 ms a step" or ""


@dataclass(frozen=True)
class RunRow:
    """One run, chosen or passed over."""

    cell: str
    colour: str
    seed: int
    learning_rate: str
    is_chosen: bool
    score: str
    validation_score: str
    solved: str
    best_step: str
    steps: str
    stopped_because: str
    horizon: str  # before and after training
    time: str


def score(value: float) -> str:
    """Return a score, or that there is none because training diverged."""
    return number(value, 4) if isfinite(value) else "diverged"


def horizon(value: float | None, *, is_censored: bool) -> str:
    """Return a gradient horizon in steps, ``"≥ 99"`` where it reached the last lag looked at."""
    if value is None:
        return NONE
    return f"≥{THIN_SPACE}{steps(value)}" if is_censored else steps(value)


def cell_rows(record: Record, flow: Sequence[RunFlow]) -> list[CellRow]:
    """Return one row a cell, in the record's order."""
    return [_cell_row(record, summary, flow) for summary in record.cells]


def run_rows(record: Record) -> list[RunRow]:
    """Return every run: by cell in the order asked, then by seed, then by learning rate."""
    order = {cell: position for position, cell in enumerate(record.settings.cells)}
    runs = sorted(record.runs, key=lambda run: (order.get(run.cell, len(order)), run.seed, run.learning_rate))
    return [_run_row(run) for run in runs]


def _cell_row(record: Record, summary: CellSummary, flow: Sequence[RunFlow]) -> CellRow:
    runs = chosen_runs(record, summary.cell)
    half_life = median_half_life(flow, summary.cell)
    return CellRow(
        cell=summary.cell,
        colour=colour(summary.cell),
        mark=mark(record, summary.cell),
        hidden_size=count(summary.hidden_size),
        parameters=count(summary.parameters),
        learning_rate=plain_number(summary.learning_rate),
        score=_mean_score(summary),
        seeds=summary.seeds,
        diverged=_diverged(runs),
        solved=NONE if summary.solved is None else f"{summary.solved} of {summary.seeds}",
        horizon=horizon(summary.horizon, is_censored=summary.horizon_is_censored),
        half_life=NONE if half_life is None else steps(half_life),
        time=duration(summary.seconds),
        step_time="" if summary.step_time_ms is None else f"{number(summary.step_time_ms)} ms a step",
    )


def _mean_score(summary: CellSummary) -> str:
    if summary.std_score is None or not isfinite(summary.mean_score):
        return score(summary.mean_score)
    return plus_minus(summary.mean_score, summary.std_score)


def _diverged(runs: Sequence[Run]) -> str:
    diverged = sum(not isfinite(run.score) for run in runs)
    return f"{diverged} of {len(runs)} diverged" if diverged else ""


def _run_row(run: Run) -> RunRow:
    before = horizon(run.horizon_before, is_censored=False)
    after = horizon(run.horizon, is_censored=run.horizon_is_censored)
    return RunRow(
        cell=run.cell,
        colour=colour(run.cell),
        seed=run.seed,
        learning_rate=plain_number(run.learning_rate),
        is_chosen=run.is_chosen,
        score=score(run.score),
        validation_score=score(run.validation_score),
        solved={None: NONE, True: "yes", False: "no"}[run.solved],
        best_step=count(run.best_step),
        steps=count(run.steps),
        stopped_because="diverged" if run.stopped_because == "not finite" else run.stopped_because,
        horizon=NONE if before == after == NONE else f"{before} → {after}",
        time=duration(run.seconds),
    )
