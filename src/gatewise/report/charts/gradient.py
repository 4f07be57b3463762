"""The gradient norm by lag: how far back the error at the last step is still felt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite

import numpy as np
import plotly.graph_objects as go

from gatewise.records.flow import Floats, FlowCurve, RunFlow
from gatewise.records.schema import Record
from gatewise.report.charts.picture import Key, Picture, add_lag, add_level, frame, gaps, plain
from gatewise.report.colours import colour, faded
from gatewise.report.facts import TOP, cell_names, summary_of
from gatewise.report.numbers import power_of_ten
from gatewise.report.table import horizon
from gatewise.report.words import needed_lag_label

THRESHOLD = -2.0  # log10 of the 1/100 that defines the horizon
DEEPEST = -8.0  # a vanished gradient falls without end; the picture stops where nothing can be learned any more

CAPTION = [
    "The question: if a state some steps before the end had been a little different, how much would the error at the "
    "end have changed? At the last step T of each validation sequence the gradient v of the loss is taken and sent "
    "back k steps, vᵀ ∂s(T) / ∂s(T−k): the total derivative, over all paths through the network. s is all that a cell "
    "hands on from step to step: h for RNN and GRU, h and c for the LSTM. The height is its norm (the mean of its "
    "logarithm over the sequences) relative to the one at lag 0.",
    "Why a curve falls: each step back multiplies by one more step Jacobian. Where these shrink what they are applied "
    "to, the product shrinks by a factor a step, which is a straight line downwards here, and whatever lies further "
    "back cannot be learned from. The horizon is the largest lag at which 1/100 of the gradient is left; a curve that "
    "is still above the threshold at its right end has a horizon of at least that lag. A line that ends early: no "
    "gradient arrived there at all.",
]


def gradient_by_lag(record: Record, flow: Sequence[RunFlow]) -> Picture | None:
    """Draw log10 of the norm relative to lag 0, before and after training; None where none was measured."""
    by_cell = {cell: [run for run in flow if run.cell == cell] for cell in cell_names(record)}
    by_cell = {cell: runs for cell, runs in by_cell.items() if any(relative_norms(run.after) for run in runs)}
    if not by_cell:
        return None
    figure = frame("lag k, steps back from the last step", "gradient norm relative to lag 0", height=440)
    for cell, runs in by_cell.items():
        _add_moment(figure, cell, [run.before for run in runs], "before")
        median = _add_moment(figure, cell, [run.after for run in runs], "after")
        _add_horizon(figure, record, cell, median)
    _scale(figure, record)
    keys = [Key(cell, "solid", colour(cell)) for cell in by_cell]
    keys += [Key("before training", "dashed"), Key("horizon", "dot")]
    keys += [Key("one seed; thick: their median", "thin")] if any(len(runs) > 1 for runs in by_cell.values()) else []
    return Picture(
        name="gradient",
        title="How far back the gradient reaches",
        figure=figure,
        keys=keys,
        caption=CAPTION,
        summary=_summary(record, list(by_cell)),
    )


def relative_norms(curve: FlowCurve) -> dict[int, float]:
    """Return lag -> log10(norm(k) / norm(0)) of the top layer's state; -inf where no gradient arrived.

    Empty where there is nothing to relate to: lag 0 was not looked at, or its gradient is zero or not finite.
    """
    log_norm = curve.log_norm[TOP]
    at_zero = log_norm[curve.lags == 0]
    if at_zero.size == 0 or not isfinite(at_zero[0]):
        return {}
    relative = (np.where(np.isnan(log_norm), -np.inf, log_norm) - at_zero[0]) / np.log(10.0)
    return dict(zip(curve.lags.tolist(), relative.tolist(), strict=True))


def _add_moment(figure: go.Figure, cell: str, curves: Sequence[FlowCurve], moment: str) -> dict[int, float]:
    """Add one thin line a seed and their median; return the median, in which a gradient that did not arrive is zero."""
    of_seeds = [norms for norms in map(relative_norms, curves) if norms]
    if not of_seeds:
        return {}
    dash = "dash" if moment == "before" else "solid"
    name = f"{cell} {moment}"
    if len(of_seeds) > 1:
        for norms in of_seeds:
            line = {"color": faded(cell, 0.5), "width": 0.9, "dash": dash}
            y = gaps(list(norms.values()), [isfinite(norm) for norm in norms.values()])
            figure.add_scatter(x=list(norms), y=y, name=f"{name} seed", mode="lines", line=line, hoverinfo="skip")
    lags = sorted(set.intersection(*(set(norms) for norms in of_seeds)))
    median = _median(np.array([[norms[lag] for lag in lags] for norms in of_seeds]))
    figure.add_scatter(
        x=lags,
        y=gaps(median.tolist(), np.isfinite(median).tolist()),
        name=name,
        mode="lines",
        line={"color": colour(cell), "width": 1.8 if moment == "before" else 2.8, "dash": dash},
        customdata=[f"{10.0**value:.2g}" for value in median.tolist()],
        hovertemplate=f"<b>{plain(cell)}</b>, {moment} training<br>lag %{{x}}: %{{customdata}} of lag 0<extra></extra>",
    )
    return dict(zip(lags, median.tolist(), strict=True))


def _median(rows: Floats) -> Floats:
    """Return the median over the seeds, axis 0; -inf and +inf in the middle together are unknown, NaN."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.median(rows, axis=0), dtype=np.float64)


def _add_horizon(figure: go.Figure, record: Record, cell: str, median: dict[int, float]) -> None:
    """Add the cell's median horizon as a dot on the median curve, as an arrowhead where it is only a lower bound."""
    summary = summary_of(record, cell)
    if summary is None or summary.horizon is None:
        return
    height = median.get(int(summary.horizon), THRESHOLD)
    is_censored = summary.horizon_is_censored
    text = f"<b>{plain(cell)}</b><br>horizon {horizon(summary.horizon, is_censored=is_censored)} steps<extra></extra>"
    symbol = "triangle-right" if is_censored else "circle"
    figure.add_scatter(
        x=[summary.horizon],
        y=[height if isfinite(height) else THRESHOLD],
        name=f"{cell} horizon",
        mode="markers",
        marker={"color": colour(cell), "size": 11, "symbol": symbol},
        cliponaxis=False,
        hovertemplate=text,
    )


def _scale(figure: go.Figure, record: Record) -> None:
    """Set the axes from what was drawn, powers of ten as ticks, and add the lines of threshold and needed lag."""
    drawn = [y for y in _heights(figure) if y >= DEEPEST]
    bottom = max(DEEPEST, min(THRESHOLD - 1, float(np.floor(min(drawn)))))
    top = max(0.5, max(drawn) + 0.3)
    every = max(1, round((top - bottom) / 9))
    ticks = [tick for tick in range(int(bottom), int(top) + 1) if tick % every == 0]
    labels = ["1" if tick == 0 else power_of_ten(tick) for tick in ticks]
    figure.update_yaxes(range=[bottom, top], tickvals=ticks, ticktext=labels)
    add_level(figure, THRESHOLD, "1/100, the horizon’s threshold", position="middle", is_below=True)
    last_lag = max(x for trace in figure.data for x in trace.x)
    needed = record.task.needed_lag
    figure.update_xaxes(range=[0, 1.02 * max(last_lag, needed or 0, 1)])
    if needed is not None:
        add_lag(figure, needed, needed_lag_label(record.task), is_left=needed > last_lag / 2)


def _heights(figure: go.Figure) -> Iterator[float]:
    for trace in figure.data:
        yield from (y for y in trace.y if y is not None)


def _summary(record: Record, cells: Sequence[str]) -> str:
    def of_cell(cell: str) -> str:
        summary = summary_of(record, cell)
        if summary is None:
            return f"{cell} {horizon(None, is_censored=False)}"
        return f"{cell} {horizon(summary.horizon, is_censored=summary.horizon_is_censored)}"

    horizons = ", ".join(of_cell(cell) for cell in cells)
    return f"Gradient norm by lag, before and after training. Horizon after training in steps: {horizons}."
