"""The pictures of flow draw the numbers that were measured, and nothing where there are none."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gatewise.records.measures import GradientCurve, GradientMap
from gatewise.report.charts import (
    Panels,
    flow_pictures,
    gate_saturation,
    gradient_map,
    gradient_slope,
    half_life_histogram,
    lyapunov_spectra,
    memory_curve,
    recurrent_spectra,
)
from gatewise.report.charts.gates import LONGEST
from gatewise.report.charts.gradient import DEEPEST
from gatewise.report.charts.gradient_map import relative_map
from gatewise.report.charts.slope import fitted
from gatewise.report.colours import CELL_COLOURS

from .flow_sample import RATE, H, T, measures, network

NETWORKS = [network("RNN"), network("LSTM")]


def drawn(picture: Panels | None) -> Panels:
    assert picture is not None
    return picture


def trace(picture: Panels, name: str) -> Any:
    return next(trace for panel in picture.panels for trace in panel.figure.data if trace.name == name)


def test_map_is_log10_relative_to_lag_zero_of_the_same_step() -> None:
    log_norm = [[5.0, 1.0], [math.nan, 1.0 + math.log(10)], [math.nan, math.nan]]
    measured = GradientMap(steps=[0, 2], lags=[0, 1, 2], log_norm=log_norm)
    nothing_arrived, before_the_start = -np.inf, np.nan
    expected = [[0, 0], [before_the_start, 1], [before_the_start, nothing_arrived]]
    np.testing.assert_allclose(relative_map(measured), expected, rtol=1e-12)


def test_map_leaves_empty_what_lies_before_the_sequence_and_floors_what_vanished() -> None:
    rnn = drawn(gradient_map(NETWORKS)).panels[0].figure.data[0]
    assert list(rnn.x) == list(rnn.y) == list(range(T))
    assert list(rnn.z[1]) == [None, *[pytest.approx(RATE["RNN"] / math.log(10))] * 3]
    dead = network("RNN").map.model_copy(update={"log_norm": [[0.0] * T, *[[math.nan] * T] * (T - 1)]})
    floored = drawn(gradient_map([network("RNN", map=dead)])).panels[0].figure.data[0]
    assert list(floored.z[1]) == [None, DEEPEST, DEEPEST, DEEPEST]


def test_map_of_an_exploding_gradient_scales_up_to_it() -> None:
    growing = network("RNN").map.model_copy(update={"log_norm": [[0.0] * T, *[[10.0] * T] * (T - 1)]})
    heatmap = drawn(gradient_map([network("RNN", map=growing)])).panels[0].figure.data[0]
    assert heatmap.zmax == pytest.approx(10 / math.log(10))
    changes = [stop for stop, _ in heatmap.colorscale]
    assert changes[1] == changes[2] == pytest.approx((-2 - DEEPEST) / (heatmap.zmax - DEEPEST))


def test_fitted_line_is_the_least_squares_line() -> None:
    log_norm = [1.0, -0.5, 0.2, math.nan, -3.0]
    slope = float(np.polyfit([0, 1, 2, 4], [1.0, -0.5, 0.2, -3.0], 1)[0])
    curve = GradientCurve(
        lags=list(range(5)), log_norm=log_norm, slope=slope, slope_interval=(0, 0), horizon=1, horizon_is_censored=False
    )
    expected = (np.polyval(np.polyfit([0, 1, 2, 4], [1.0, -0.5, 0.2, -3.0], 1), range(5)) - 1.0) / np.log(10)
    np.testing.assert_allclose(fitted(curve), expected, rtol=1e-12)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(fitted(curve.model_copy(update={"slope": slope * 1.001})), expected, rtol=1e-12)


def test_slope_is_drawn_with_threshold_and_needed_lag() -> None:
    picture = drawn(gradient_slope([network("RNN")], needed_lag=3))
    np.testing.assert_allclose(trace(picture, "RNN").y, np.arange(T) * RATE["RNN"] / np.log(10), atol=1e-12)
    np.testing.assert_allclose(trace(picture, "RNN fit").y, trace(picture, "RNN").y, atol=1e-12)
    labels = {shape.label.text for shape in picture.panels[0].figure.layout.shapes}
    assert labels == {"1/100, the horizon’s threshold", "needed lag 3"}
    assert "0.0498 (0.0493 to 0.0503)" in picture.caption


def test_histogram_counts_every_unit_once_and_endless_ones_at_the_edge() -> None:
    bars = trace(drawn(half_life_histogram(NETWORKS, needed_lag=3)), "LSTM")
    assert sum(bars.y) == H
    filled = [10**x for x, y in zip(bars.x, bars.y, strict=True) if y]
    assert filled == [pytest.approx(3, rel=0.25), pytest.approx(LONGEST, rel=0.25)]


def test_saturation_shows_gates_and_no_candidates() -> None:
    picture = drawn(gate_saturation(NETWORKS))
    assert [panel.title for panel in picture.panels] == ["LSTM, forget gate"]
    assert (trace(picture, "forget_gate").x, trace(picture, "forget_gate").y) == ((0.75, 0.0), (0.25, 0.5))


def test_lyapunov_exponents_fall_against_rank_over_hidden_size() -> None:
    line = trace(drawn(lyapunov_spectra(NETWORKS)), "LSTM")
    assert list(line.x) == [rank / H for rank in (1, 2, 3, 4)]
    assert list(line.y) == [-0.1, -0.5, -2.0, None]


def test_memory_curve_has_its_level_of_chance() -> None:
    picture = drawn(memory_curve(NETWORKS))
    assert trace(picture, "LSTM").y == (0.9, 0.3)
    assert trace(picture, "LSTM chance").y == (0.05, 0.05)


def test_spectrum_stands_in_a_plane_with_equal_units_and_the_unit_circle() -> None:
    panel = drawn(recurrent_spectra(NETWORKS)).panels[0]
    figure = panel.figure
    circle = figure.layout.shapes[0]
    assert (circle.type, circle.x0, circle.x1, circle.y0, circle.y1) == ("circle", -1, 1, -1, 1)
    assert figure.layout.yaxis.scaleanchor == "x"
    assert figure.layout.xaxis.range[1] > 1.3
    assert (figure.data[0].x, figure.data[0].y) == ((0.5, 0.5), (1.2, -1.2))
    assert panel.note == "ρ 1.3, σ 1.7"


def test_report_of_a_run_does_not_repeat_what_the_comparison_draws() -> None:
    alone = [picture.name for picture in flow_pictures(measures(), stands_alone=True)]
    in_report = [picture.name for picture in flow_pictures(measures(), stands_alone=False)]
    assert set(alone) - set(in_report) == {"flow-slope", "flow-half-life"}
    assert len(in_report) == 5


def test_what_was_not_measured_is_not_drawn() -> None:
    bare = network("RNN").model_copy(
        update=dict.fromkeys(("gates", "spectrum", "map", "lyapunov", "capacity", "half_life"))
    )
    pictures = flow_pictures(measures(networks=[bare]), stands_alone=True)
    assert [picture.name for picture in pictures] == ["flow-slope"]
    only_diagnosed = bare.model_copy(update={"gradient": None})
    assert flow_pictures(measures(networks=[only_diagnosed]), stands_alone=True) == []


def test_every_picture_says_how_to_read_it_and_names_its_axes() -> None:
    for picture in flow_pictures(measures(), stands_alone=True):
        assert len(picture.caption) > 100
        assert len(picture.summary) > 30
        for panel in picture.panels:
            assert panel.figure.layout.xaxis.title.text
            assert panel.figure.layout.yaxis.title.text


def test_each_cell_has_its_colour() -> None:
    for picture in (lyapunov_spectra(NETWORKS), memory_curve(NETWORKS)):
        for cell in ("RNN", "LSTM"):
            assert trace(drawn(picture), cell).line.color == CELL_COLOURS[cell]
