"""The gradient by starting step and lag: whether its reach depends on where in the sequence it starts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from gatewise.records.measures import GradientMap, NetworkFlow
from gatewise.report.charts.gradient import DEEPEST, THRESHOLD
from gatewise.report.charts.panels import MAP, Panel, Panels, small_frame
from gatewise.report.charts.picture import Key, plain
from gatewise.report.colours import colour, faded
from gatewise.report.numbers import number

GREY = "rgba(124, 130, 139, {})"

CAPTION = (
    "Each column starts at one step T and goes back from there: the height is the lag k, the colour how much of the "
    "gradient at T is left k steps before it. Coloured is what still holds 1/100 or more of it, so the coloured band "
    "is as high as the gradient reaches; grey is what has vanished. Above the diagonal lies the time before the "
    "sequence began. A band of the same height all along means that the network forgets at a steady rate; one that "
    "fills the triangle, that its gradient reaches the start from everywhere."
)


def gradient_map(networks: Sequence[NetworkFlow]) -> Panels | None:
    """Draw a heat map of steps and lags for every network; None where none was measured."""
    measured = [(network, network.map) for network in networks if network.map is not None]
    if not measured:
        return None
    return Panels(
        name="flow-map",
        title="Gradient from every step",
        panels=[Panel(network.cell, _map(network.cell, drawn), colour(network.cell)) for network, drawn in measured],
        keys=[
            *(Key(f"{network.cell}: at least 1/100 is left", "dot", colour(network.cell)) for network, _ in measured),
            Key("less than 1/100", "band"),
        ],
        caption=CAPTION,
        summary="Heat maps of the gradient norm by starting step and lag. " + "; ".join(map(_summary, networks)) + ".",
        min_width=MAP,
    )


def relative_map(drawn: GradientMap) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return log10(norm(k) / norm(0)) (K, E); -inf where nothing arrived, NaN before the sequence began."""
    log_norm = np.array(drawn.log_norm, dtype=np.float64)
    relative = (log_norm - log_norm[:1]) / np.log(10.0)
    is_inside = np.array(drawn.lags)[:, None] <= np.array(drawn.steps)
    return np.where(is_inside, np.where(np.isnan(relative), -np.inf, relative), np.nan)


def _map(cell: str, drawn: GradientMap) -> go.Figure:
    relative = relative_map(drawn)
    highest = max(0.0, float(np.nanmax(relative)))
    shown = np.clip(relative, DEEPEST, highest)
    threshold = (THRESHOLD - DEEPEST) / (highest - DEEPEST)
    figure = small_frame("step T it starts from", "lag k, steps back", height=270)
    figure.add_heatmap(
        x=drawn.steps,
        y=drawn.lags,
        z=[[None if np.isnan(value) else value for value in row] for row in shown.tolist()],
        customdata=[[_share(value) for value in row] for row in relative.tolist()],
        zmin=DEEPEST,
        zmax=highest,
        colorscale=[
            [0, GREY.format(0.1)],
            [threshold, GREY.format(0.3)],
            [threshold, faded(cell, 0.3)],
            [1, faded(cell, 1)],
        ],
        showscale=False,
        hoverongaps=False,
        hovertemplate=f"<b>{plain(cell)}</b><br>from step %{{x}} back %{{y}}: %{{customdata}}<extra></extra>",
    )
    figure.update_yaxes(showgrid=False)
    figure.update_xaxes(showgrid=False)
    return figure


def _share(relative: float) -> str:
    return "" if np.isnan(relative) else f"{10.0**relative:.2g} of lag 0"


def _summary(network: NetworkFlow) -> str:
    if network.map is None:
        return f"{network.cell} not measured"
    share = float(10 ** relative_map(network.map)[:, -1][-1])
    return f"{network.cell}: from the last step to the first {number(share, 2)} of the gradient is left"
