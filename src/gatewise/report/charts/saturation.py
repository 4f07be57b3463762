"""How often every gate is shut and how often wide open (Karpathy, Johnson & Fei-Fei 2015, figure 2)."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from gatewise.records.measures import GateUse, NetworkFlow
from gatewise.report.charts.panels import SQUARE, Panel, Panels, gate_name, small_frame
from gatewise.report.charts.picture import GRID, Key, plain
from gatewise.report.colours import colour, faded

CANDIDATES = {"cell_gate", "new_gate"}  # in [-1, 1]: what would be written, no gate that opens and shuts

CAPTION = (
    "One dot a unit: to the right the share of steps at which its gate is shut (below 0.1), upwards the share at which "
    "it is wide open (above 0.9). Top left: always open; a forget or update gate there keeps its memory for ever. "
    "Bottom right: always shut. At the origin: always in between, a smooth mixer. On the diagonal: a switch that is "
    "always either open or shut, and decides by what it reads. After Karpathy, Johnson & Fei-Fei (2015), "
    "arXiv 1506.02078."
)


def gate_saturation(networks: Sequence[NetworkFlow]) -> Panels | None:
    """Draw low against high share, one panel a network and gate; None where no network has gates that were measured."""
    measured = [(network, gate) for network in networks for gate in network.gates or [] if gate.name not in CANDIDATES]
    if not measured:
        return None
    return Panels(
        name="flow-saturation",
        title="How the gates stand",
        panels=[
            Panel(f"{network.cell}, {gate_name(gate.name)}", _square(network.cell, gate), colour(network.cell))
            for network, gate in measured
        ],
        keys=[Key("a unit", "dot"), Key("always either open or shut", "dashed")],
        caption=CAPTION,
        summary="Share of steps below 0.1 against share above 0.9, one dot a unit. Means over the units: "
        + ", ".join(f"{network.cell} {gate_name(gate.name)} {_means(gate)}" for network, gate in measured)
        + ".",
        min_width=SQUARE,
    )


def _square(cell: str, gate: GateUse) -> go.Figure:
    figure = small_frame("share shut, < 0.1", "share open, > 0.9", height=210)
    figure.add_scatter(
        x=[0, 1], y=[1, 0], mode="lines", line={"color": GRID, "width": 1.4, "dash": "dash"}, hoverinfo="skip"
    )
    figure.add_scatter(
        x=gate.low,
        y=gate.high,
        name=gate.name,
        mode="markers",
        marker={"color": faded(cell, 0.6), "size": 6, "line": {"width": 0}},
        text=[f"unit {unit}, mean {mean:.2f}" for unit, mean in enumerate(gate.mean)],
        cliponaxis=False,
        hovertemplate=f"<b>{plain(cell)}</b> %{{text}}<br>shut %{{x:.0%}}, open %{{y:.0%}}<extra></extra>",
    )
    ticks = {"range": [-0.03, 1.03], "tickvals": [0, 0.5, 1], "ticktext": ["0", "½", "1"]}
    figure.update_xaxes(**ticks)
    figure.update_yaxes(**ticks)
    return figure


def _means(gate: GateUse) -> str:
    low, high = (sum(shares) / len(shares) for shares in (gate.low, gate.high))
    return f"{low:.0%} shut, {high:.0%} open"
