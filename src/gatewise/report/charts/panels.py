"""Several small charts that are read together: the same axes, one panel a network or gate."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from gatewise.report.charts.picture import Key, frame
from gatewise.report.colours import NEUTRAL

SQUARE, MAP = 175, 280  # px that a panel is wide at least, on a screen that has them


@dataclass(frozen=True)
class Panel:
    """One small chart and its heading."""

    title: str
    figure: go.Figure
    colour: str = NEUTRAL
    note: str = ""  # a number that goes with the heading

    @property
    def height(self) -> int:
        """The chart's height in px."""
        return int(self.figure.layout.height)


@dataclass(frozen=True)
class Panels:
    """A picture of one or more panels, and the words that belong to it."""

    name: str  # the panels' ids begin with it
    title: str
    panels: list[Panel]
    keys: list[Key]
    caption: str  # how to read it
    summary: str  # what a reader who cannot see it is told
    min_width: int = 0  # px of a panel; 0: one panel over the whole width

    @property
    def columns_on_a_phone(self) -> int:
        """How many panels stand side by side on a screen that has no room for their least width."""
        return 2 if self.min_width == SQUARE else 1


def small_frame(x_title: str, y_title: str, height: int) -> go.Figure:
    """Return an empty figure whose words fit a narrow panel."""
    figure = frame(x_title, y_title, height)
    figure.update_layout(margin={"l": 4, "r": 8, "t": 8, "b": 4}, font_size=11)
    figure.update_xaxes(title_standoff=4, title_font_size=11, showgrid=True)
    figure.update_yaxes(title_standoff=4, title_font_size=11)
    return figure


def gate_name(name: str) -> str:
    """Return a gate's or block's name in words.

    >>> gate_name("forget_gate"), gate_name("recurrent")
    ('forget gate', 'recurrent weights')
    """
    return "recurrent weights" if name == "recurrent" else name.replace("_", " ")
