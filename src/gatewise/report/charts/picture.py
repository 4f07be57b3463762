"""What all pictures share: the frame, the lines of reference, and text that cannot turn into markup.

Colours are chosen to be readable on a light and on a dark page; the page's style sheet sharpens the text for each.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any, Literal

import plotly.graph_objects as go

from gatewise.report.colours import NEUTRAL

CONFIG = {"displayModeBar": False, "responsive": True}
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
GRID = "rgba(128, 134, 144, 0.18)"
LONGEST_LABEL = 34  # characters of a name inside a chart; tables give names in full


@dataclass(frozen=True)
class Key:
    """One entry of a picture's key."""

    label: str
    stroke: Literal["solid", "dashed", "thin", "band", "dot"]
    colour: str = NEUTRAL


@dataclass(frozen=True)
class Picture:
    """A chart and the words that belong to it."""

    name: str  # the element's id
    title: str
    figure: go.Figure
    keys: list[Key]
    caption: list[str]  # paragraphs
    summary: str  # what a reader who cannot see the chart is told

    @property
    def height(self) -> int:
        """The chart's height in px, so that the page keeps its place before anything is drawn."""
        return int(self.figure.layout.height)


def frame(x_title: str, y_title: str, height: int = 400) -> go.Figure:
    """Return an empty figure: transparent, without zoom (a finger on a phone scrolls the page), fixed in height."""
    axis: dict[str, Any] = {
        "automargin": True,
        "fixedrange": True,
        "gridcolor": GRID,
        "linecolor": GRID,
        "zeroline": False,
        "separatethousands": True,
    }
    return go.Figure(
        layout={
            "template": {},
            "height": height,
            "margin": {"l": 8, "r": 16, "t": 24, "b": 8},
            "paper_bgcolor": "rgba(0, 0, 0, 0)",
            "plot_bgcolor": "rgba(0, 0, 0, 0)",
            "font": {"family": FONT, "size": 13, "color": NEUTRAL},
            "separators": ".\u202f",
            "showlegend": False,
            "dragmode": False,
            "hovermode": "closest",
            "hoverlabel": {
                "bgcolor": "#22272E",
                "bordercolor": "#59616B",
                "font": {"family": FONT, "size": 13, "color": "#FFFFFF"},
                "align": "left",
            },
            "xaxis": axis | {"title": {"text": x_title, "standoff": 8}, "showgrid": False, "showline": True},
            "yaxis": axis | {"title": {"text": y_title, "standoff": 12}, "showgrid": True},
        }
    )


def plain(text: str) -> str:
    """Return `text` so that plotly shows it as it is: no tags, no links, no hover variables, not too long.

    >>> plain("<a href='x'>%{y}</a>")
    "&lt;a href='x'&gt;%&#123;y}&lt;/a&gt;"
    """
    if len(text) > LONGEST_LABEL:
        text = text[: LONGEST_LABEL - 1].rstrip() + "…"
    return html.escape(text, quote=False).replace("%{", "%&#123;")


def add_level(
    figure: go.Figure, y: float, text: str, *, dash: str = "dash", position: str = "end", is_below: bool = False
) -> None:
    """Add a horizontal line of reference; `text` stands at its start, middle or end, above or below the line."""
    x_anchor = {"start": "left", "middle": "center", "end": "right"}[position]
    label = _label(text, position, "top" if is_below else "bottom", x_anchor)
    line = {"color": NEUTRAL, "width": 1.2, "dash": dash}
    figure.add_shape(type="line", xref="paper", x0=0, x1=1, y0=y, y1=y, layer="below", line=line, label=label)


def add_lag(figure: go.Figure, x: float, text: str, *, is_left: bool) -> None:
    """Add a vertical line of reference over the whole height; its text stands left or right of its foot."""
    label = _label(text, "start", "bottom", "right" if is_left else "left") | {"textangle": 0}
    line = {"color": NEUTRAL, "width": 1.4}
    figure.add_shape(type="line", yref="paper", x0=x, x1=x, y0=0, y1=1, layer="below", line=line, label=label)


def log_ticks(lowest: float, highest: float) -> list[float]:
    """Return the powers of ten from `lowest` to `highest`, with 2 and 5 between them where there are fewer than three.

    >>> log_ticks(0.3, 150.0), log_ticks(0.3, 3.0)
    ([1.0, 10.0, 100.0], [0.5, 1.0, 2.0])
    """
    exponents = range(floor(log10(lowest)), ceil(log10(highest)) + 1)
    ticks = [tick for exponent in exponents if lowest <= (tick := 10.0**exponent) <= highest]
    if len(ticks) >= 3:
        return ticks
    finer = [factor * 10.0**exponent for exponent in exponents for factor in (1, 2, 5)]
    return [tick for tick in finer if lowest <= tick <= highest]


def gaps(values: Sequence[float], keep: Sequence[bool]) -> list[float | None]:
    """Return the values as a chart takes them: None, a gap in the line, where they are not to be drawn."""
    return [float(value) if is_kept else None for value, is_kept in zip(values, keep, strict=True)]


def _label(text: str, position: str, y_anchor: str, x_anchor: str) -> dict[str, Any]:
    font = {"size": 12, "color": NEUTRAL, "family": FONT}
    anchors = {"textposition": position, "yanchor": y_anchor, "xanchor": x_anchor}
    return {"text": text, "padding": 4, "font": font} | anchors
