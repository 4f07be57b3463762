"""The gradient norm by lag of one network, with the straight line whose slope is its rate of decay."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, isfinite

import numpy as np

from gatewise.records.measures import GradientCurve, NetworkFlow
from gatewise.report.charts.gradient import DEEPEST, THRESHOLD
from gatewise.report.charts.panels import Panel, Panels
from gatewise.report.charts.picture import Key, add_lag, add_level, frame, gaps, plain
from gatewise.report.colours import colour
from gatewise.report.numbers import number, power_of_ten

CAPTION = (
    "The gradient v of the loss at the last step T is sent back k steps, vᵀ ∂s(T) / ∂s(T−k), over all paths through "
    "the network; the height is its norm relative to that at lag 0 (mean of the logarithm over the sequences). The "
    "dashed line is the least-squares fit: its slope is the factor by which the gradient changes at every step back. "
    "What lies below 1/100 is beyond the horizon and hardly learned from."
)


def gradient_slope(networks: Sequence[NetworkFlow], needed_lag: int | None) -> Panels | None:
    """Draw log10 of the norm relative to lag 0 with its fit; None where none was measured."""
    measured = [(n, n.gradient) for n in networks if n.gradient is not None and isfinite(n.gradient.log_norm[0])]
    if not measured:
        return None
    figure = frame("lag k, steps back from the last step", "gradient norm relative to lag 0", height=400)
    drawn = [0.0]
    for network, curve in measured:
        relative = (np.array(curve.log_norm) - curve.log_norm[0]) / np.log(10.0)
        figure.add_scatter(
            x=curve.lags,
            y=gaps(relative.tolist(), np.isfinite(relative).tolist()),
            name=network.cell,
            mode="lines",
            line={"color": colour(network.cell), "width": 2.8},
            customdata=[f"{10.0**value:.2g}" for value in relative.tolist()],
            hovertemplate=f"<b>{plain(network.cell)}</b><br>lag %{{x}}: %{{customdata}} of lag 0<extra></extra>",
        )
        figure.add_scatter(
            x=curve.lags,
            y=fitted(curve).tolist(),
            name=f"{network.cell} fit",
            mode="lines",
            line={"color": colour(network.cell), "width": 1.6, "dash": "dash"},
            hoverinfo="skip",
        )
        drawn += relative[np.isfinite(relative)].tolist()
    bottom = max(DEEPEST, min(THRESHOLD - 1, float(np.floor(min(drawn)))))
    top = max(drawn) + 0.5
    ticks = list(range(int(bottom), int(top) + 1, max(1, round((top - bottom) / 9))))
    labels = ["1" if tick == 0 else power_of_ten(tick) for tick in ticks]
    figure.update_yaxes(range=[bottom, top], tickvals=ticks, ticktext=labels)
    add_level(figure, THRESHOLD, "1/100, the horizon’s threshold", position="middle", is_below=True)
    last_lag = max(curve.lags[-1] for _, curve in measured)
    figure.update_xaxes(range=[0, 1.02 * max(last_lag, needed_lag or 0, 1)])
    if needed_lag:
        add_lag(figure, needed_lag, f"needed lag {needed_lag}", is_left=needed_lag > last_lag / 2)
    rates = ", ".join(f"{network.cell} {rate(curve)}" for network, curve in measured)
    return Panels(
        name="flow-slope",
        title="How far back the gradient reaches",
        panels=[Panel("", figure)],
        keys=[*(Key(n.cell, "solid", colour(n.cell)) for n, _ in measured), Key("least-squares fit", "dashed")],
        caption=f"{CAPTION} Factor a step back: {rates}.",
        summary=f"Gradient norm by lag with its fitted slope. Factor a step back: {rates}.",
    )


def fitted(curve: GradientCurve) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return the fit at every lag as log10 relative to lag 0; a least-squares line goes through the means."""
    log_norm, lags = np.array(curve.log_norm), np.array(curve.lags, dtype=np.float64)
    is_finite = np.isfinite(log_norm)
    line = log_norm[is_finite].mean() + curve.slope * (lags - lags[is_finite].mean())
    return np.asarray((line - log_norm[0]) / np.log(10.0), dtype=np.float64)


def rate(curve: GradientCurve) -> str:
    """Return the factor a step with its 95 % interval."""
    low, high = curve.slope_interval
    interval = f" ({number(exp(low))} to {number(exp(high))})" if isfinite(low) and isfinite(high) else ""
    return f"{number(exp(curve.slope))}{interval}" if isfinite(curve.slope) else "unknown"
