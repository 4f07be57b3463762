"""The pictures, each a function from the record to a `Picture`, or from the measures of flow to `Panels`."""

from __future__ import annotations

from collections.abc import Sequence

from gatewise.records.flow import RunFlow
from gatewise.records.measures import FlowMeasures
from gatewise.records.schema import MetricRow, Record
from gatewise.report.charts.capacity import memory_curve
from gatewise.report.charts.context import context_curve
from gatewise.report.charts.gates import gate_half_lives
from gatewise.report.charts.gradient import gradient_by_lag
from gatewise.report.charts.gradient_map import gradient_map
from gatewise.report.charts.half_life import half_life_histogram
from gatewise.report.charts.learning import learning_curves
from gatewise.report.charts.lyapunov import lyapunov_spectra
from gatewise.report.charts.panels import Panel, Panels
from gatewise.report.charts.picture import Key, Picture
from gatewise.report.charts.reach import gradient_reach
from gatewise.report.charts.saturation import gate_saturation
from gatewise.report.charts.slope import gradient_slope
from gatewise.report.charts.spectrum import recurrent_spectra

__all__ = [
    "Key",
    "Panel",
    "Panels",
    "Picture",
    "context_curve",
    "flow_pictures",
    "gate_half_lives",
    "gate_saturation",
    "gradient_by_lag",
    "gradient_map",
    "gradient_reach",
    "gradient_slope",
    "half_life_histogram",
    "learning_curves",
    "lyapunov_spectra",
    "memory_curve",
    "pictures",
    "recurrent_spectra",
]


def pictures(record: Record, metrics: Sequence[MetricRow], flow: Sequence[RunFlow]) -> list[Picture]:
    """Return the pictures for which the record holds data, in the page's order."""
    drawn = [
        learning_curves(record, metrics),
        gradient_by_lag(record, flow),
        gradient_reach(record, metrics),
        gate_half_lives(record, flow),
        context_curve(record),
    ]
    return [picture for picture in drawn if picture is not None]


def flow_pictures(measured: FlowMeasures, *, stands_alone: bool) -> list[Panels]:
    """Return the pictures of what `gatewise flow` measured.

    Where it does not stand alone, the comparison's own pictures show gradient by lag and half-lives of all seeds.
    """
    networks = [network for network in measured.networks if network.is_measured]
    of_one = [
        gradient_slope(networks, measured.needed_lag),
        half_life_histogram(networks, measured.needed_lag),
    ]
    drawn = [
        *(of_one if stands_alone else []),
        gradient_map(networks),
        gate_saturation(networks),
        lyapunov_spectra(networks),
        memory_curve(networks),
        recurrent_spectra(networks),
    ]
    return [picture for picture in drawn if picture is not None]
