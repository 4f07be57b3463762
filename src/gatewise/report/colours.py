"""One fixed colour a cell, in every table and chart.

From Okabe and Ito's palette for colour-blind readers; the contrast is at least 3:1 on the light and the dark page.
"""

from __future__ import annotations

CELL_COLOURS = {"RNN": "#D55E00", "LSTM": "#0072B2", "GRU": "#009E73"}
NEUTRAL = "#7C828B"  # what belongs to no cell; readable on both pages


def colour(cell: str) -> str:
    """Return the cell's colour as ``#RRGGBB``."""
    return CELL_COLOURS.get(cell, NEUTRAL)


def faded(cell: str, opacity: float) -> str:
    """Return the cell's colour, translucent.

    >>> faded("LSTM", 0.2)
    'rgba(0, 114, 178, 0.2)'
    """
    red, green, blue = bytes.fromhex(colour(cell)[1:])
    return f"rgba({red}, {green}, {blue}, {opacity})"
