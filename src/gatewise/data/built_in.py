"""The data that come with Gatewise, so that everything can be tried offline."""

from __future__ import annotations

from pathlib import Path

BUILT_IN = {
    "python-help": "the help texts of Python itself, as a text to predict character by character",
    "el-nino": "sea surface temperature off Peru, each month from 1950 to 2010, as a series to forecast",
}

# NOAA's ERSST.V3B, region Nino 1+2 (0-10 degrees South, 80-90 degrees West), degrees Celsius; public domain.
# http://www.cpc.ncep.noaa.gov/data/indices/, from the copy in statsmodels, one row a month instead of one a year.
EL_NINO = Path(__file__).parent / "series" / "el_nino.csv"
EL_NINO_WINDOW = 24  # months: two turns of the year; a GRU scored no better with 36 or 48


def python_help() -> str:
    """Return the texts behind Python's ``help()``, by topic; they differ between versions."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics[topic] for topic in sorted(topics))
