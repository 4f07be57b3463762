"""The score against the context: how many of the last steps the networks really need."""

from __future__ import annotations

from math import isfinite, log10

from gatewise.records.schema import Record
from gatewise.report.charts.picture import Picture, add_lag, frame, gaps, plain
from gatewise.report.colours import NEUTRAL
from gatewise.report.numbers import number, steps
from gatewise.report.words import needed_lag_label

LOG_AXIS_FROM = 20.0  # a ratio of longest to shortest context

CAPTION = (
    "Nobody knows beforehand how far back real data must be remembered, so it is tried: the network with the best "
    "validation score is shown only the last k steps of each validation sequence, which reach back k − 1 steps. The "
    "line stands at the shortest context that gives nearly all of what the whole one gives. This is that "
    "network’s estimate: what it has not learned to use does not show."
)


def context_curve(record: Record) -> Picture | None:
    """Draw the score with the context cut to k steps; None where the needed lag is known and nothing was cut."""
    points = sorted(record.context, key=lambda point: point.steps)
    if not points:
        return None
    lengths, scores = [point.steps for point in points], [point.score for point in points]
    figure = frame("context, the last k steps", f"validation {plain(record.metric.name)}", height=360)
    figure.add_scatter(
        x=lengths,
        y=gaps(scores, [isfinite(score) for score in scores]),
        name="score",
        mode="lines+markers",
        line={"color": NEUTRAL, "width": 2.4},
        marker={"size": 8},
        hovertemplate=f"last %{{x}} steps<br>{plain(record.metric.name)} %{{y:.4g}}<extra></extra>",
    )
    is_log = lengths[0] > 0 and lengths[-1] / lengths[0] > LOG_AXIS_FROM
    if is_log:
        labels = [steps(length) for length in lengths]
        limits = [log10(lengths[0]) - 0.08, log10(lengths[-1]) + 0.08]
        figure.update_xaxes(type="log", tickvals=lengths, ticktext=labels, range=limits)
    needed = record.task.needed_lag
    if needed is not None:
        context = needed + 1
        middle = (lengths[0] * lengths[-1]) ** 0.5 if is_log else (lengths[0] + lengths[-1]) / 2
        add_lag(figure, context, needed_lag_label(record.task), is_left=context > middle)
    listed = ", ".join(f"{number(point.score)} with {steps(point.steps)}" for point in points)
    return Picture(
        name="context",
        title="How much of the past is needed",
        figure=figure,
        keys=[],
        caption=[CAPTION],
        summary=f"Validation {record.metric.name} by number of steps seen: {listed}.",
    )
