"""The Lyapunov spectra: how fast small differences between states shrink or grow, direction by direction."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from gatewise.records.measures import NetworkFlow
from gatewise.report.charts.panels import Panel, Panels
from gatewise.report.charts.picture import Key, add_level, frame, gaps, plain
from gatewise.report.colours import colour
from gatewise.report.numbers import number

CAPTION = (
    "A small difference in the state grows or shrinks by a factor e^λ a step; the directions of the state are put in "
    "order, i = 1 first, and divided by the hidden size H so that networks of any size lie on one axis (an LSTM has 2H "
    "directions, since its state is h and c). Exponents near 0 are directions that are remembered: λ = −0.02 halves a "
    "difference in 35 steps, −0.3 in 2; a single one may be enough to carry a sum. All far below 0: everything is "
    "forgotten. Above 0: differences grow, and so does the gradient. A curve that ends early: the rest is lost at "
    "once, or too fast for 64-bit arithmetic to tell. After Engelken, Wolf & Abbott (2020), arXiv 2006.02427."
)


def lyapunov_spectra(networks: Sequence[NetworkFlow]) -> Panels | None:
    """Draw the exponents against i/H, one line a network; None where none was measured."""
    measured = [(network, network.lyapunov) for network in networks if network.lyapunov is not None]
    if not measured:
        return None
    figure = frame("rank of the direction, i / H", "exponent λᵢ, per step", height=380)
    for network, spectrum in measured:
        ordered = sorted(spectrum.exponents, reverse=True)
        figure.add_scatter(
            x=[rank / network.hidden_size for rank in range(1, len(ordered) + 1)],
            y=gaps(ordered, [isfinite(exponent) for exponent in ordered]),
            name=network.cell,
            mode="lines+markers",
            line={"color": colour(network.cell), "width": 2.2},
            marker={"size": 4},
            hovertemplate=f"<b>{plain(network.cell)}</b><br>i/H %{{x:.2f}}: %{{y:.3f}} per step<extra></extra>",
        )
    add_level(figure, 0, "0: neither shrinks nor grows")
    figure.update_xaxes(rangemode="tozero")
    first = ", ".join(f"{network.cell} {number(max(spectrum.exponents))}" for network, spectrum in measured)
    return Panels(
        name="flow-lyapunov",
        title="Lyapunov spectrum",
        panels=[Panel("", figure)],
        keys=[Key(network.cell, "solid", colour(network.cell)) for network, _ in measured],
        caption=f"{CAPTION} The largest exponents: {first}.",
        summary=f"Lyapunov exponents against i/H. The largest, per step: {first}.",
    )
