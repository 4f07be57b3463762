from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from gatewise.records.flow import FlowCurve
from gatewise.records.schema import Baseline
from gatewise.report.charts import Picture, gate_half_lives, gradient_by_lag, learning_curves
from gatewise.report.charts.gradient import relative_norms
from gatewise.report.colours import CELL_COLOURS

from .sample import GOAL, LEARNING_RATES, T, sample


def drawn(picture: Picture | None) -> Picture:
    assert picture is not None
    return picture


def trace(picture: Picture, name: str) -> Any:
    return next(trace for trace in picture.figure.data if trace.name == name)


def levels(picture: Picture) -> dict[str, float]:
    return {shape.label.text: shape.y0 for shape in picture.figure.layout.shapes}


def test_learning_curves_are_the_records_validation_scores() -> None:
    data = sample()
    picture = drawn(learning_curves(data.record, data.metrics))
    for run in data.record.runs:
        identity = (run.cell, run.seed, run.learning_rate)
        rows = [row for row in data.metrics if (row.cell, row.seed, row.learning_rate) == identity]
        if run.is_chosen:
            line = trace(picture, f"{run.cell} seed {run.seed}")
            assert list(line.x) == [row.step for row in rows]
            assert list(line.y) == [row.validation_score for row in rows]
    assert len(LEARNING_RATES) == 3
    assert len(picture.figure.data) == 3 * (3 + 2)  # a search run is not drawn: three seeds, mean and range a cell


def test_mean_ends_where_the_first_seed_stops() -> None:
    data = sample()
    mean = trace(drawn(learning_curves(data.record, data.metrics)), "LSTM mean")
    first_stop = min(run.steps for run in data.record.runs if run.cell == "LSTM" and run.is_chosen)
    assert mean.x[-1] == first_stop
    at_end = [
        row.validation_score
        for row in data.metrics
        if (row.cell, row.learning_rate, row.step) == ("LSTM", 0.01, first_stop)
    ]
    assert mean.y[-1] == pytest.approx(np.mean(at_end))


def test_baselines_and_goal_are_lines_of_reference() -> None:
    data = sample()
    picture = drawn(learning_curves(data.record, data.metrics))
    assert levels(picture) == {
        "goal 0.001": GOAL,
        "first marked value only 0.0833": 0.0833,
        "always the mean 0.167": 0.1667,
    }


def test_of_lines_that_lie_too_close_only_some_are_labelled() -> None:
    data = sample()
    baselines = [Baseline(name=f"baseline {k}", score=0.1 + 0.001 * k) for k in range(5)]
    picture = drawn(learning_curves(data.changed(baselines=baselines).record, data.metrics))
    labels = [(shape.label.text, shape.label.textposition) for shape in picture.figure.layout.shapes]
    assert len(labels) == 6
    assert [position for text, position in labels if text.startswith("baseline")] == ["end", "start", "middle"]


def test_score_axis_is_logarithmic_only_for_scores_that_span_a_factor() -> None:
    data = sample()
    assert drawn(learning_curves(data.record, data.metrics)).figure.layout.yaxis.type == "log"
    accuracy = data.changed(metric=data.record.metric.model_copy(update={"better": "higher"})).record
    assert drawn(learning_curves(accuracy, data.metrics)).figure.layout.yaxis.type is None


def test_a_run_that_blows_up_does_not_flatten_the_others() -> None:
    data = sample()
    metrics = [
        row.model_copy(update={"validation_score": 1e20}) if row.cell == "RNN" and row.step > 400 else row
        for row in data.metrics
    ]
    assert 10 ** drawn(learning_curves(data.record, metrics)).figure.layout.yaxis.range[1] < 10


def test_gradient_is_log10_relative_to_lag_zero() -> None:
    below, top = np.log([9.0, 9.0, 9.0, 9.0]), np.array([*np.log([5.0, 0.5, 0.05]), np.nan])
    curve = FlowCurve(np.arange(4), np.stack([below, top]))
    assert relative_norms(curve) == pytest.approx({0: 0.0, 1: -1.0, 2: -2.0, 3: -np.inf})


@pytest.mark.parametrize("first", [np.nan, -np.inf])
def test_gradient_without_lag_zero_has_nothing_to_relate_to(first: float) -> None:
    assert relative_norms(FlowCurve(np.arange(2), np.array([[first, -1.0]]))) == {}
    assert relative_norms(FlowCurve(np.arange(1, 3), np.array([[-1.0, -2.0]]))) == {}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_gradient_line_is_the_median_over_seeds(moment: str) -> None:
    data = sample()
    line = trace(drawn(gradient_by_lag(data.record, data.flow)), f"RNN {moment}")
    curves = [getattr(run, moment).log_norm[0] for run in data.flow if run.cell == "RNN"]
    expected = np.median([(curve - curve[0]) / np.log(10) for curve in curves], axis=0)
    np.testing.assert_allclose(np.array(line.y, dtype=float), expected, rtol=1e-12)
    assert list(line.x) == list(range(T))
    assert line.line.dash == ("dash" if moment == "before" else "solid")


def test_gradient_shows_threshold_needed_lag_and_horizons() -> None:
    data = sample()
    picture = drawn(gradient_by_lag(data.record, data.flow))
    assert levels(picture)["1/100, the horizon’s threshold"] == -2
    needed = next(shape for shape in picture.figure.layout.shapes if shape.label.text == "needed lag 90")
    assert needed.x0 == needed.x1 == 90
    by_cell = {cell.cell: cell.horizon for cell in data.record.cells}
    for cell, symbol in {"RNN": "circle", "LSTM": "triangle-right"}.items():
        dot = trace(picture, f"{cell} horizon")
        assert dot.x == (by_cell[cell],)
        assert dot.marker.symbol == symbol


def test_gradient_that_did_not_arrive_leaves_a_gap() -> None:
    data = sample(cells=["RNN"], seeds=[0])
    log_norm = data.flow[0].after.log_norm.copy()
    log_norm[0, 50:], log_norm[0, 70:] = -np.inf, np.nan
    flow = [dataclasses.replace(data.flow[0], after=FlowCurve(np.arange(T), log_norm))]
    line = trace(drawn(gradient_by_lag(data.record, flow)), "RNN after")
    assert line.y[49] is not None
    assert set(line.y[50:]) == {None}


def test_half_lives_are_those_of_every_unit_and_seed() -> None:
    data = sample()
    picture = drawn(gate_half_lives(data.record, data.flow))
    for cell in ("LSTM", "GRU"):
        units = np.concatenate(
            [run.half_life[0] for run in data.flow if run.cell == cell and run.half_life is not None]
        )
        np.testing.assert_array_equal(trace(picture, cell).x, units)
        assert trace(picture, f"{cell} quartiles").median == (pytest.approx(np.median(units)),)
    assert not any(trace.name == "RNN" for trace in picture.figure.data)


def test_each_cell_has_its_colour_in_every_picture() -> None:
    data = sample()
    learned, gradient = (
        drawn(learning_curves(data.record, data.metrics)),
        drawn(gradient_by_lag(data.record, data.flow)),
    )
    for cell, colour in CELL_COLOURS.items():
        assert trace(learned, f"{cell} mean").line.color == colour
        assert trace(gradient, f"{cell} after").line.color == colour
        assert colour in {key.colour for key in learned.keys}
