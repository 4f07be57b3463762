"""The half-lives of one network's gates as a histogram."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import log10

import numpy as np

from gatewise.records.measures import NetworkFlow
from gatewise.report.charts.gates import LONGEST, SHORTEST
from gatewise.report.charts.panels import Panel, Panels
from gatewise.report.charts.picture import Key, add_lag, frame, log_ticks, plain
from gatewise.report.colours import colour, faded
from gatewise.report.numbers import plain_number, steps

BINS_A_DECADE = 6

CAPTION = (
    "How many units forget how fast: the half-life is the number of steps after which the gate alone has let half of a "
    "unit’s content go, ln 2 / (−mean of ln f), f the LSTM’s forget gate or the GRU’s update gate. Units far to the "
    "right are the long memory; a task that needs a lag needs some of them about there, unless content is passed round "
    "between the units. What lies beyond an edge is counted in the bar there."
)


def half_life_histogram(networks: Sequence[NetworkFlow], needed_lag: int | None) -> Panels | None:
    """Draw the number of units by half-life on a log axis; None where no network has a memory gate."""
    measured = [(network, network.half_life) for network in networks if network.half_life]
    if not measured:
        return None
    units = [np.clip(half_life, SHORTEST, LONGEST) for _, half_life in measured]
    together = np.concatenate([*units, [1.0, float(needed_lag or 1)]])
    low, high = (np.floor(log10(together.min())), np.ceil(log10(together.max()) + 0.01))
    edges = np.logspace(low, high, int((high - low) * BINS_A_DECADE) + 1)
    figure = frame("half-life, steps", "units", height=320)
    for (network, _), values in zip(measured, units, strict=True):
        counts, _ = np.histogram(values, edges)
        figure.add_bar(
            x=np.log10(edges[:-1] * edges[1:]) / 2,
            y=counts,
            name=network.cell,
            width=0.92 / BINS_A_DECADE,
            marker={"color": faded(network.cell, 0.7), "line": {"width": 0}},
            text=[f"{steps(a)} to {steps(b)} steps" for a, b in pairwise(edges.tolist())],
            textposition="none",
            hovertemplate=f"<b>{plain(network.cell)}</b><br>%{{text}}: %{{y}} units<extra></extra>",
        )
    ticks = log_ticks(float(edges[0]), float(edges[-1]))
    labels = [plain_number(tick) for tick in ticks]
    figure.update_xaxes(range=[low, high], tickvals=[log10(tick) for tick in ticks], ticktext=labels)
    if needed_lag:
        add_lag(figure, log10(needed_lag), f"needed lag {needed_lag}", is_left=log10(needed_lag) > (low + high) / 2)
    medians = ", ".join(f"{n.cell} {steps(float(np.median(half_life)))}" for n, half_life in measured)
    return Panels(
        name="flow-half-life",
        title="How long the gates hold on",
        panels=[Panel("", figure)],
        keys=[Key(network.cell, "dot", colour(network.cell)) for network, _ in measured],
        caption=f"{CAPTION} Median in steps: {medians}.",
        summary=f"Histogram of the units' half-lives. Median in steps: {medians}.",
    )
