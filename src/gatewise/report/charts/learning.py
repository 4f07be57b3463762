"""The learning curves: validation score against training step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, log10

import numpy as np
import plotly.graph_objects as go

from gatewise.records.schema import MetricRow, Record, Run
from gatewise.report.charts.picture import Key, Picture, add_level, frame, gaps, log_ticks, plain
from gatewise.report.colours import colour, faded
from gatewise.report.facts import cell_names, chosen_runs, validations_of
from gatewise.report.numbers import count, number, plain_number

LOG_AXIS_FROM = 20.0  # a ratio of largest to smallest value above which equal factors are what one wants to see
OUTBURST = 10.0  # times the largest first score or baseline: whatever lies higher leaves the picture at the top
CLOSE = 0.07  # share of the axis below which two labels would touch

ONE_SEED = (
    "Each line is one run, drawn as far as that run was trained and ending in a dot (a cross where it diverged). "
    "Validation data never train a network; they choose the learning rate and the step that is tested."
)
SEVERAL_SEEDS = (
    f"{ONE_SEED} The thick line is the mean over the seeds and the band goes from the worst to the best seed; both end "
    "where the first seed stops, because from there on a mean would compare different runs."
)


@dataclass(frozen=True)
class Curve:
    """The validations of one run."""

    run: Run
    steps: list[int]
    scores: list[float]


def learning_curves(record: Record, metrics: Sequence[MetricRow]) -> Picture | None:
    """Draw the validation scores of the runs that count, with baselines and goal; None before the first validation."""
    by_cell = {cell: _curves(record, cell, metrics) for cell in cell_names(record)}
    by_cell = {cell: curves for cell, curves in by_cell.items() if curves}
    if not by_cell:
        return None
    figure = frame("training step", f"validation {plain(record.metric.name)}", height=420)
    for cell, curves in by_cell.items():
        _add_spread(figure, cell, curves)
        for curve in curves:
            _add_run(figure, curve, is_alone=len(curves) == 1)
    _scale(figure, record, [curve for curves in by_cell.values() for curve in curves])
    keys = [Key(cell, "solid", colour(cell)) for cell in by_cell]
    has_several_seeds = any(len(curves) > 1 for curves in by_cell.values())
    keys += [Key("one seed", "thin"), Key("worst to best", "band")] if has_several_seeds else []
    return Picture(
        name="learning",
        title="How they learned",
        figure=figure,
        keys=keys,
        caption=[SEVERAL_SEEDS if has_several_seeds else ONE_SEED],
        summary=_summary(record, by_cell),
    )


def _curves(record: Record, cell: str, metrics: Sequence[MetricRow]) -> list[Curve]:
    found = []
    for run in chosen_runs(record, cell):
        rows = validations_of(run, metrics)
        if rows:
            found.append(Curve(run, [row.step for row in rows], [row.validation_score for row in rows]))
    return found


def _add_spread(figure: go.Figure, cell: str, curves: Sequence[Curve]) -> None:
    """Add mean and range over the seeds, at the steps at which every seed was validated with a finite score."""
    if len(curves) < 2:
        return
    by_step = [dict(zip(curve.steps, curve.scores, strict=True)) for curve in curves]
    shared = sorted(set.intersection(*({step for step in scores if isfinite(scores[step])} for scores in by_step)))
    if not shared:
        return
    scores = np.array([[of_run[step] for step in shared] for of_run in by_step])
    lowest, highest = scores.min(axis=0).tolist(), scores.max(axis=0).tolist()
    figure.add_scatter(
        x=[*shared, *reversed(shared)],
        y=[*highest, *reversed(lowest)],
        name=f"{cell} range",
        mode="none",
        fill="toself",
        fillcolor=faded(cell, 0.13),
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=shared,
        y=scores.mean(axis=0).tolist(),
        name=f"{cell} mean",
        mode="lines",
        line={"color": colour(cell), "width": 2.8},
        hovertemplate=f"<b>{plain(cell)}</b>, mean of {len(curves)} seeds<br>step %{{x}}: %{{y:.4g}}<extra></extra>",
    )


def _add_run(figure: go.Figure, curve: Curve, *, is_alone: bool) -> None:
    """Add one run as far as it went; the marker of the last finite score alone is visible."""
    run = curve.run
    is_finite = [isfinite(score) for score in curve.scores]
    sizes = [0] * len(curve.steps)
    if any(is_finite):
        sizes[max(position for position, kept in enumerate(is_finite) if kept)] = 8
    has_diverged = run.stopped_because == "not finite" or not is_finite[-1]
    figure.add_scatter(
        x=curve.steps,
        y=gaps(curve.scores, is_finite),
        name=f"{run.cell} seed {run.seed}",
        mode="lines+markers",
        line={"color": colour(run.cell), "width": 2.8 if is_alone else 1.1},
        marker={"size": sizes, "opacity": 1, "line": {"width": 0}, "symbol": "x" if has_diverged else "circle"},
        opacity=1 if is_alone else 0.7,
        hovertemplate=f"<b>{plain(run.cell)}</b>, seed {run.seed}<br>step %{{x}}: %{{y:.4g}}<extra></extra>",
    )


def _references(record: Record) -> list[tuple[float, str, str]]:
    """Return level, text and dash of each line of reference, from low to high."""
    lines = [(line.score, f"{plain(line.name)} {number(line.score)}", "dash") for line in record.baselines]
    if record.task.goal is not None:
        lines.append((record.task.goal, f"goal {plain_number(record.task.goal)}", "dot"))
    return sorted(line for line in lines if isfinite(line[0]))


def _scale(figure: go.Figure, record: Record, curves: Sequence[Curve]) -> None:
    """Fit the axes to curves, baselines and goal, logarithmic over a factor of 20, and add the lines of reference."""
    last_step = max(curve.steps[-1] for curve in curves)
    figure.update_xaxes(range=[0, 1.02 * last_step])
    references = _references(record)
    finite = [score for curve in curves for score in curve.scores if isfinite(score)]
    finite += [level for level, _, _ in references]
    if not finite:
        return
    lowest, highest = min(finite), min(max(finite), _highest_of_interest(record, curves))
    is_log = record.metric.better == "lower" and lowest > 0 and highest / lowest > LOG_AXIS_FROM
    if is_log:
        ticks = log_ticks(lowest, highest)
        figure.update_yaxes(type="log", tickvals=ticks, ticktext=[plain_number(tick) for tick in ticks])
    heights = [log10(level) if is_log else level for level, _, _ in references]
    lowest, highest = (log10(lowest), log10(highest)) if is_log else (lowest, highest)
    span = highest - lowest or 1.0
    figure.update_yaxes(range=[lowest - 0.06 * span, highest + 0.06 * span])
    _add_references(figure, references, [height / span for height in heights])


def _highest_of_interest(record: Record, curves: Sequence[Curve]) -> float:
    """Return a bound for the axis: a run that blows up must not flatten all others."""
    ordinary = [curve.scores[0] for curve in curves] + [level for level, _, _ in _references(record)]
    ordinary = [score for score in ordinary if isfinite(score)]
    if record.metric.better == "higher" or not ordinary or max(ordinary) <= 0:
        return float("inf")
    return OUTBURST * max(ordinary)


def _add_references(figure: go.Figure, references: Sequence[tuple[float, str, str]], heights: Sequence[float]) -> None:
    """Add goal and baselines at `heights`, shares of the axis; where too many lie close, the table alone names them."""
    below = dict.fromkeys(("end", "start", "middle"), float("-inf"))  # height of the label beneath, for each position
    for (level, text, dash), height in zip(references, heights, strict=True):
        position = next((position for position, taken in below.items() if height - taken >= CLOSE), None)
        if position is None:
            add_level(figure, level, "", dash=dash)
        else:
            below[position] = height
            add_level(figure, level, text, dash=dash, position=position)


def _summary(record: Record, by_cell: dict[str, list[Curve]]) -> str:
    def of_cell(cell: str, curves: list[Curve]) -> str:
        runs = [curve.run for curve in curves]
        ends = ", ".join(f"{number(run.validation_score)} after {count(run.steps)} steps" for run in runs)
        return f"{cell}: {ends}."

    ends = " ".join(of_cell(cell, curves) for cell, curves in by_cell.items())
    return f"Learning curves. Best validation {record.metric.name} of each seed: {ends}"
