"""The half-lives of the gates that hold a state: how long a unit keeps what it has once taken in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log10

import numpy as np
import plotly.graph_objects as go

from gatewise.records.flow import Floats, RunFlow
from gatewise.records.schema import Record
from gatewise.report.charts.picture import Key, Picture, add_lag, frame, log_ticks, plain
from gatewise.report.colours import colour, faded
from gatewise.report.facts import cell_names, half_lives, median_half_life
from gatewise.report.numbers import count, plain_number, steps
from gatewise.report.words import needed_lag_label

SHORTEST, LONGEST = 0.1, 1e5  # steps; outside, a gate is as good as shut or as good as open
GATES = {"LSTM": "forget gate", "GRU": "update gate"}
GOLDEN_RATIO = 0.618033988749895  # its multiples modulo 1 fill a row evenly, the same way each time

Units = Sequence[tuple[int, Floats]]  # (seed, half-lives of its units)

CAPTION = (
    "One dot a hidden unit, all seeds together; the box holds the middle half of them, the line in it is the median. "
    "The half-life is the number of steps after which the gate alone has let half of a unit’s content go: ln 2 / "
    "(−mean of ln f), f the LSTM’s forget gate or the GRU’s update gate, averaged over validation sequences and steps "
    "after training. That is the direct path only: a network can also remember by passing content round between its "
    "units, so the gradient’s horizon can be longer. An RNN has no such gate and does not appear."
)


def gate_half_lives(record: Record, flow: Sequence[RunFlow]) -> Picture | None:
    """Draw the units' half-lives, one row a cell, on a log axis; None where no cell has such a gate."""
    by_cell = {cell: half_lives(flow, cell) for cell in cell_names(record)}
    by_cell = {cell: found for cell, found in by_cell.items() if sum(values.size for _, values in found)}
    if not by_cell:
        return None
    figure = frame("half-life, steps", "", height=130 + 110 * len(by_cell))
    edges = _edges(record, [values for found in by_cell.values() for _, values in found])
    for row, (cell, found) in enumerate(by_cell.items()):
        _add_units(figure, cell, row, found, edges)
    _scale(figure, record, edges, list(by_cell))
    return Picture(
        name="gates",
        title="How long the gates hold on",
        figure=figure,
        keys=[Key(_row_name(cell), "dot", colour(cell)) for cell in by_cell],
        caption=[CAPTION, *_clipped(by_cell)],
        summary=_summary(flow, list(by_cell)),
    )


def _edges(record: Record, groups: Sequence[Floats]) -> tuple[float, float]:
    """Return the ends of the axis: around the needed lag and all half-lives from SHORTEST to LONGEST."""
    units = np.concatenate(groups)
    inside = units[(units >= SHORTEST) & (units <= LONGEST)].tolist()
    inside += [record.task.needed_lag] if record.task.needed_lag else []
    return min([*inside, 1.0]) / 1.4, max([*inside, 10.0]) * 1.4


def _add_units(figure: go.Figure, cell: str, row: int, found: Units, edges: tuple[float, float]) -> None:
    """Add a dot a unit, spread evenly over the height of the row, and a box over the middle half."""
    labels = [
        f"seed {seed}, unit {unit}: {steps(value)} steps"
        for seed, values in found
        for unit, value in enumerate(values.tolist())
    ]
    clipped = np.clip(np.concatenate([values for _, values in found]), *edges)
    lower, middle, upper = ([quartile] for quartile in np.quantile(clipped, [0.25, 0.5, 0.75]).tolist())
    figure.add_box(
        y=[row],
        q1=lower,
        median=middle,
        q3=upper,
        lowerfence=lower,
        upperfence=upper,
        name=f"{cell} quartiles",
        orientation="h",
        width=0.7,
        line={"color": colour(cell), "width": 1.6},
        fillcolor=faded(cell, 0.1),
        hoverinfo="skip",
    )
    spread = np.arange(clipped.size) * GOLDEN_RATIO % 1 - 0.5
    figure.add_scatter(
        x=clipped.tolist(),
        y=(row + 0.56 * spread).tolist(),
        name=cell,
        mode="markers",
        marker={"color": faded(cell, 0.75), "size": 5, "line": {"width": 0}},
        text=labels,
        cliponaxis=False,
        hovertemplate=f"<b>{plain(cell)}</b> %{{text}}<extra></extra>",
    )


def _scale(figure: go.Figure, record: Record, edges: tuple[float, float], cells: Sequence[str]) -> None:
    ticks = log_ticks(*edges)
    left, right = (log10(edge) for edge in edges)
    room = 0.02 * (right - left)  # so that dots at an edge do not touch the names of the rows
    labels = [plain_number(tick) for tick in ticks]
    figure.update_xaxes(type="log", range=[left - room, right + room], tickvals=ticks, ticktext=labels, showgrid=True)
    names = [plain(cell) for cell in cells]
    bottom_up = [len(cells) - 0.4, -0.6]  # the first cell stands on top
    figure.update_yaxes(showgrid=False, range=bottom_up, tickvals=list(range(len(cells))), ticktext=names)
    needed = record.task.needed_lag
    if needed is not None and needed > 0:
        add_lag(figure, needed, needed_lag_label(record.task), is_left=log10(needed) > (left + right) / 2)


def _row_name(cell: str) -> str:
    return f"{cell}: {GATES[cell]}" if cell in GATES else cell


def _clipped(by_cell: Mapping[str, Units]) -> list[str]:
    """Return the sentence on units drawn at an edge of the picture, where there are any."""
    units = np.concatenate([values for found in by_cell.values() for _, values in found])
    parts = []
    if longer := int((units > LONGEST).sum()):
        parts.append(f"{count(longer)} above {count(round(LONGEST))} steps or without end (right)")
    if shorter := int((units < SHORTEST).sum()):
        parts.append(f"{count(shorter)} below {plain_number(SHORTEST)} steps (left)")
    return [f"Drawn at an edge of the picture, of {count(units.size)} units: {' and '.join(parts)}."] if parts else []


def _summary(flow: Sequence[RunFlow], cells: Sequence[str]) -> str:
    medians = ", ".join(f"{cell} {steps(median_half_life(flow, cell) or 0.0)}" for cell in cells)
    return f"Half-lives of the gates after training, one dot a unit. Median in steps: {medians}."
