from __future__ import annotations

import math

import numpy as np
import pytest

from gatewise.records.schema import MetricRow
from gatewise.report import render
from gatewise.report.charts import gradient_reach, pictures
from gatewise.report.charts.picture import Picture

from .sample import Sample, sample

HORIZON = "recurrent/l0/horizon"


def drawn(data: Sample) -> Picture:
    picture = gradient_reach(data.record, data.metrics)
    assert picture is not None
    return picture


def line(picture: Picture, name: str) -> dict[int, float | None]:
    trace = next(trace for trace in picture.figure.data if trace.name == name)
    return dict(zip(trace.x, trace.y, strict=True))


def with_flow(data: Sample, change: object) -> Sample:
    metrics = [row.model_copy(update={"flow": change(row)}) for row in data.metrics]
    return Sample(data.record, metrics, data.flow)


def test_lines_are_the_horizons_of_the_record_from_before_training_on() -> None:
    data = sample()
    picture = drawn(data)
    for run in data.record.runs:
        if run.is_chosen:
            identity = (run.cell, run.seed, run.learning_rate)
            rows = [row for row in data.metrics if (row.cell, row.seed, row.learning_rate) == identity]
            expected = {0: run.horizon_before} | {row.step: row.flow[HORIZON] for row in rows if row.flow}
            assert line(picture, f"{run.cell} seed {run.seed}") == expected
    assert len(picture.figure.data) == 3 * (3 + 1)  # three seeds and their median a cell; searched runs are not drawn


def test_median_goes_as_far_as_every_seed() -> None:
    data = sample()
    median = line(drawn(data), "LSTM median")
    runs = [run for run in data.record.runs if run.cell == "LSTM" and run.is_chosen]
    assert max(median) == min(run.steps for run in runs) < max(run.steps for run in runs)
    seeds = [line(drawn(data), f"LSTM seed {run.seed}") for run in runs]
    assert median[1000] == np.median([of_seed[1000] for of_seed in seeds])
    assert median[1000] != median[2000]


def test_needed_lag_is_a_line_within_the_picture() -> None:
    figure = drawn(sample()).figure
    (shape,) = figure.layout.shapes
    assert (shape.y0, shape.label.text) == (90, "needed lag 90")
    assert figure.layout.yaxis.range[1] > 90


def test_a_step_at_which_no_gradient_arrived_is_a_gap() -> None:
    def lost_at_400(row: MetricRow) -> dict[str, float]:
        return {**(row.flow or {}), HORIZON: math.nan} if row.step == 400 else row.flow or {}

    picture = drawn(with_flow(sample(), lost_at_400))
    assert line(picture, "GRU seed 0")[400] is None
    assert line(picture, "GRU seed 0")[600] is not None
    assert 400 not in line(picture, "GRU median")


def test_top_layer_is_the_one_drawn() -> None:
    def two_layers(row: MetricRow) -> dict[str, float]:
        return {HORIZON: 1.0, "recurrent/l0/slope": 0.0, "recurrent/l1/horizon": 5.0, "recurrent/l1/slope": 0.0}

    assert line(drawn(with_flow(sample(), two_layers)), "RNN seed 0")[200] == 5


@pytest.mark.parametrize("nothing", [None, {}])
def test_records_that_nobody_watched_have_a_report_without_the_picture(nothing: object) -> None:
    data = sample()
    older = with_flow(data, lambda row: nothing)
    names = [picture.name for picture in pictures(data.record, data.metrics, data.flow)]
    older_names = [picture.name for picture in pictures(older.record, older.metrics, older.flow)]
    assert names == ["learning", "gradient", "reach", "gates"]
    assert older_names == ["learning", "gradient", "gates"]
    title = "How far back they could learn during training"
    assert title in render(data.record, data.metrics, data.flow)
    assert title not in render(older.record, older.metrics, older.flow)


def test_one_seed_is_one_thick_line() -> None:
    picture = drawn(sample(cells=["GRU"], seeds=[0]))
    assert [trace.name for trace in picture.figure.data] == ["GRU seed 0"]
    assert "thin" not in {key.stroke for key in picture.keys}


def test_the_words_name_first_and_last_horizon() -> None:
    picture = drawn(sample())
    assert "RNN from 7 to 13" in picture.summary
    assert "every 200th step" in picture.caption[0].lower()
    assert "99 steps back" in picture.caption[1]
