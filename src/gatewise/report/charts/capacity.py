"""The memory curve: how much of earlier inputs a straight line can read off the state."""

from __future__ import annotations

from collections.abc import Sequence

from gatewise.records.measures import NetworkFlow
from gatewise.report.charts.panels import Panel, Panels
from gatewise.report.charts.picture import Key, frame, plain
from gatewise.report.colours import colour, faded
from gatewise.report.numbers import number

CAPTION = (
    "From the state at each step the input k steps earlier is guessed by a ridge regression, and tried on held-out "
    "steps: 1 means that it can be read off the state exactly, 0 that a straight line finds nothing. The dashed line "
    "is what guessing inputs in random order reaches; below it a value means nothing. A network that was trained need "
    "not keep all inputs: one that solves the adding problem may keep the sum of the marked numbers and drop the rest. "
    "Inputs that predict each other, as in text or a time series, raise the curve at lags that the state need not "
    "hold. After Jaeger (2001), GMD Report 152."
)


def memory_curve(networks: Sequence[NetworkFlow]) -> Panels | None:
    """Draw R^2 per lag with the level of chance, one line a network; None where none was measured."""
    measured = [(network, network.capacity) for network in networks if network.capacity is not None]
    if not measured:
        return None
    figure = frame("lag k, steps back", "R² of the input k steps earlier", height=360)
    for network, capacity in measured:
        line = {"color": colour(network.cell), "width": 2.4}
        figure.add_scatter(
            x=capacity.lags,
            y=capacity.r_squared,
            name=network.cell,
            mode="lines",
            line=line,
            hovertemplate=f"<b>{plain(network.cell)}</b><br>lag %{{x}}: R² %{{y:.3f}}<extra></extra>",
        )
        figure.add_scatter(
            x=[capacity.lags[0], capacity.lags[-1]],
            y=[capacity.shuffled] * 2,
            name=f"{network.cell} chance",
            mode="lines",
            line={"color": faded(network.cell, 0.8), "width": 1.2, "dash": "dash"},
            hoverinfo="skip",
        )
    figure.update_yaxes(range=[-0.02, 1.03])
    figure.update_xaxes(range=[0, 1.02 * max(1, *(capacity.lags[-1] for _, capacity in measured))])
    totals = ", ".join(f"{network.cell} {number(capacity.total)}" for network, capacity in measured)
    return Panels(
        name="flow-capacity",
        title="What the state holds of earlier inputs",
        panels=[Panel("", figure)],
        keys=[*(Key(n.cell, "solid", colour(n.cell)) for n, _ in measured), Key("level of chance", "dashed")],
        caption=f"{CAPTION} Area under the curve, the memory capacity in steps: {totals}.",
        summary=f"R² by lag of a linear readout of earlier inputs. Memory capacity in steps: {totals}.",
    )
