"""The gradient horizon while the networks learned: how far back each training step could learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, nan

import numpy as np
import plotly.graph_objects as go

from gatewise.records.schema import MetricRow, Record, Run
from gatewise.report.charts.picture import Key, Picture, add_level, frame, gaps, plain
from gatewise.report.colours import colour, faded
from gatewise.report.facts import TOP, cell_names, chosen_runs, validations_of
from gatewise.report.numbers import count
from gatewise.report.table import horizon
from gatewise.report.words import needed_lag_label

READING = (
    "How to read it: what lies further back than the line could hardly be learned from at that moment. A line that "
    "climbs to the needed lag while the score above improves tells one story twice: the cell has learned to remember. "
    "A line that stays low says why a cell does not learn what lies far back. Training may also lower a line again, "
    "where the network needs less than it could reach. The most that can be seen is the whole sequence, {longest} "
    "steps back."
)


@dataclass(frozen=True)
class Reach:
    """The horizon of one run; NaN where no gradient arrived."""

    run: Run
    steps: list[int]
    horizons: list[float]


def gradient_reach(record: Record, metrics: Sequence[MetricRow]) -> Picture | None:
    """Draw the horizon of the runs that count against the training step; None where nobody watched them."""
    by_cell = {
        cell: [reach for run in chosen_runs(record, cell) if (reach := reach_of(run, metrics)) is not None]
        for cell in cell_names(record)
    }
    by_cell = {cell: reaches for cell, reaches in by_cell.items() if reaches}
    if not by_cell:
        return None
    figure = frame("training step", "gradient horizon, steps back", height=400)
    for cell, reaches in by_cell.items():
        for reach in reaches:
            _add_run(figure, reach, is_alone=len(reaches) == 1)
        _add_median(figure, cell, reaches)
    _scale(figure, record, [reach for reaches in by_cell.values() for reach in reaches])
    keys = [Key(cell, "solid", colour(cell)) for cell in by_cell]
    has_several_seeds = any(len(reaches) > 1 for reaches in by_cell.values())
    keys += [Key("one seed; thick: their median", "thin")] if has_several_seeds else []
    return Picture(
        name="reach",
        title="How far back they could learn during training",
        figure=figure,
        keys=keys,
        caption=[_what(record), READING.format(longest=count(record.task.sequence_length - 1))],
        summary=_summary(by_cell),
    )


def reach_of(run: Run, metrics: Sequence[MetricRow]) -> Reach | None:
    """Return the top layer's horizon before training and at each watched validation; None if there is none."""
    watched = [(row.step, row.flow) for row in validations_of(run, metrics) if row.flow]
    seen = [[value for name, value in flow.items() if name.endswith("/horizon")][TOP] for _, flow in watched]
    if not any(map(isfinite, seen)):
        return None
    before = nan if run.horizon_before is None else float(run.horizon_before)
    return Reach(run, [0, *(step for step, _ in watched)], [before, *seen])


def _add_run(figure: go.Figure, reach: Reach, *, is_alone: bool) -> None:
    cell = reach.run.cell
    figure.add_scatter(
        x=reach.steps,
        y=gaps(reach.horizons, [isfinite(value) for value in reach.horizons]),
        name=f"{cell} seed {reach.run.seed}",
        mode="lines",
        line={"color": colour(cell) if is_alone else faded(cell, 0.5), "width": 2.8 if is_alone else 0.9},
        hovertemplate=f"<b>{plain(cell)}</b>, seed {reach.run.seed}<br>step %{{x}}: horizon %{{y}}<extra></extra>",
    )


def _add_median(figure: go.Figure, cell: str, reaches: Sequence[Reach]) -> None:
    """Add the median over the seeds, as far as all of them were trained."""
    steps, median = _median(reaches)
    if len(reaches) < 2 or not steps:
        return
    figure.add_scatter(
        x=steps,
        y=median,
        name=f"{cell} median",
        mode="lines",
        line={"color": colour(cell), "width": 2.8},
        hovertemplate=f"<b>{plain(cell)}</b>, median of {len(reaches)} seeds<br>step %{{x}}: horizon %{{y}}"
        "<extra></extra>",
    )


def _median(reaches: Sequence[Reach]) -> tuple[list[int], list[float]]:
    """Return the steps at which every seed has a horizon, and the median there."""
    by_step = [
        {step: value for step, value in zip(reach.steps, reach.horizons, strict=True) if isfinite(value)}
        for reach in reaches
    ]
    steps = sorted(set.intersection(*(set(horizons) for horizons in by_step)))
    return steps, [float(np.median([horizons[step] for horizons in by_step])) for step in steps]


def _scale(figure: go.Figure, record: Record, reaches: Sequence[Reach]) -> None:
    needed = record.task.needed_lag
    highest = max([1.0, float(needed or 0), *(h for reach in reaches for h in reach.horizons if isfinite(h))])
    figure.update_yaxes(range=[0, 1.1 * highest])
    figure.update_xaxes(range=[0, 1.02 * max(reach.steps[-1] for reach in reaches)])
    if needed:
        add_level(figure, needed, needed_lag_label(record.task))


def _what(record: Record) -> str:
    return (
        f"How far back can a training step learn? At every {count(record.settings.validate_every)}th step the gradient "
        "of that step’s own loss was followed back through time, on the first 8 sequences of its batch. The height is "
        "its horizon: the largest number of steps back at which 1/100 of the gradient at the end is left. Step 0 is "
        "the network before training, on validation sequences. Watching changes no number of the training."
    )


def _summary(by_cell: dict[str, list[Reach]]) -> str:
    def of_cell(cell: str, reaches: list[Reach]) -> str:
        _, median = _median(reaches)
        first, last = (median[0], median[-1]) if median else (None, None)
        return f"{cell} from {horizon(first, is_censored=False)} to {horizon(last, is_censored=False)}"

    return f"Gradient horizon during training in steps: {', '.join(of_cell(*item) for item in by_cell.items())}."
