"""The pictures of a comparison, each a function from the record to a `Picture`."""

from __future__ import annotations

from collections.abc import Sequence

from gatewise.records.flow import RunFlow
from gatewise.records.schema import MetricRow, Record
from gatewise.report.charts.context import context_curve
from gatewise.report.charts.gates import gate_half_lives
from gatewise.report.charts.gradient import gradient_by_lag
from gatewise.report.charts.learning import learning_curves
from gatewise.report.charts.picture import Key, Picture

__all__ = ["Key", "Picture", "context_curve", "gate_half_lives", "gradient_by_lag", "learning_curves", "pictures"]


def pictures(record: Record, metrics: Sequence[MetricRow], flow: Sequence[RunFlow]) -> list[Picture]:
    """Return the pictures for which the record holds data, in the page's order."""
    drawn = [
        learning_curves(record, metrics),
        gradient_by_lag(record, flow),
        gate_half_lives(record, flow),
        context_curve(record),
    ]
    return [picture for picture in drawn if picture is not None]
