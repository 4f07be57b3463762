"""The eigenvalues of the recurrent weights in the complex plane, block by block."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from gatewise.records.measures import BlockSpectrum, NetworkFlow
from gatewise.report.charts.panels import SQUARE, Panel, Panels, gate_name, small_frame
from gatewise.report.charts.picture import Key, plain
from gatewise.report.colours import NEUTRAL, colour, faded
from gatewise.report.numbers import number

CAPTION = (
    "One dot an eigenvalue of W_hh, real part to the right, imaginary part upwards, with the unit circle: applied "
    "again and again, the weights alone would in the end shrink what lies inside and blow up what lies outside. But "
    "they are not alone: every step also multiplies by the slopes of the activations, which are at most one. So dots "
    "outside do not mean that the gradient explodes, nor dots inside that it vanishes; for certain it vanishes only "
    "where the largest singular value of an RNN’s W_hh is below one. In the LSTM and GRU these weights steer the "
    "gates, and memory goes through the gates themselves. Above each plane: spectral radius ρ and largest singular "
    "value σ."
)


def recurrent_spectra(networks: Sequence[NetworkFlow]) -> Panels | None:
    """Draw one complex plane a network and block of W_hh; None where none was measured."""
    measured = [(network, block) for network in networks for block in network.spectrum or []]
    if not measured:
        return None
    panels = [
        Panel(
            f"{network.cell}, {gate_name(block.block)}",
            _plane(network.cell, block),
            colour(network.cell),
            f"ρ {number(block.spectral_radius, 2)}, σ {number(block.largest_singular_value, 2)}",
        )
        for network, block in measured
    ]
    radii = ", ".join(
        f"{network.cell} {gate_name(block.block)} {number(block.spectral_radius)}" for network, block in measured
    )
    return Panels(
        name="flow-spectrum",
        title="Eigenvalues of the recurrent weights",
        panels=panels,
        keys=[Key("an eigenvalue", "dot"), Key("unit circle", "thin")],
        caption=CAPTION,
        summary=f"Eigenvalues of W_hh in the complex plane. Spectral radius: {radii}.",
        min_width=SQUARE,
    )


def _plane(cell: str, block: BlockSpectrum) -> go.Figure:
    limit = 1.12 * max(1.0, block.spectral_radius)
    figure = small_frame("real part", "imaginary part", height=210)
    figure.add_shape(type="circle", x0=-1, x1=1, y0=-1, y1=1, line={"color": NEUTRAL, "width": 1.2}, layer="below")
    figure.add_scatter(
        x=block.real,
        y=block.imaginary,
        mode="markers",
        marker={"color": faded(cell, 0.75), "size": 5, "line": {"width": 0}},
        hovertemplate=f"<b>{plain(cell)}</b> %{{x:.3f}} + %{{y:.3f}} i<extra></extra>",
    )
    # Equal units on both axes, or the circle is none.
    figure.update_xaxes(range=[-limit, limit], constrain="domain", nticks=5)
    figure.update_yaxes(range=[-limit, limit], scaleanchor="x", constrain="domain", nticks=5)
    return figure
