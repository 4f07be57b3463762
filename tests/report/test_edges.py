from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from gatewise.records.flow import FlowCurve, RunFlow
from gatewise.records.schema import ContextPoint
from gatewise.report import render
from gatewise.report.charts import pictures

from .sample import Sample, sample

NAN = float("nan")


def rendered(data: Sample) -> str:
    return render(data.record, data.metrics, data.flow)


def names(data: Sample) -> list[str]:
    return [picture.name for picture in pictures(data.record, data.metrics, data.flow)]


def with_task(data: Sample, **parts: Any) -> Sample:
    return data.changed(task=data.record.task.model_copy(update=parts))


def test_running_without_any_run_says_so_and_draws_nothing() -> None:
    empty = sample().changed(status="running", runs=[], cells=[], verdict=None)
    page = rendered(Sample(empty.record, [], []))
    assert "Incomplete." in page
    assert "0 of 9 runs that count are finished" in page
    assert "No verdict yet." in page
    assert "No run is finished yet." in page
    assert len(page) < 50_000


def test_complete_without_verdict() -> None:
    assert "No verdict: the runs do not allow a comparison." in rendered(sample().changed(verdict=None))


def test_interval_that_contains_zero_is_put_into_words() -> None:
    data = sample()
    assert data.record.verdict is not None
    open_verdict = data.record.verdict.model_copy(update={"winner": None, "interval": (-0.01, 0.002)})
    assert "contains zero, so the luck of the seeds may explain it" in rendered(data.changed(verdict=open_verdict))


def test_no_goal_and_unknown_lag() -> None:
    data = with_task(sample(), goal=None, needed_lag=None)
    page = rendered(data.changed(cells=[cell.model_copy(update={"solved": None}) for cell in data.record.cells]))
    assert "goal 0.001" not in page
    assert "how far back the task looks is not known" in page
    assert "needed lag 90" not in page


def test_missing_horizon_is_a_dash() -> None:
    data = sample(cells=["RNN"])
    runs = [run.model_copy(update={"horizon": None, "horizon_before": None}) for run in data.record.runs]
    page = rendered(data.changed(runs=runs, cells=[data.record.cells[0].model_copy(update={"horizon": None})]))
    assert '<td data-label="gradient horizon, steps">–<' in page


def test_one_seed_has_neither_deviation_nor_band() -> None:
    data = sample(seeds=[0])
    page = rendered(data)
    assert "0.0007614<small>1 seed</small>" in page
    assert "nothing can be said about chance" in page
    assert "worst to best" not in page


@pytest.mark.parametrize("cells", [["RNN"], ["LSTM", "GRU"]])
def test_fewer_cells(cells: list[str]) -> None:
    data = sample(cells=cells).changed(verdict=None)
    assert rendered(data).count('scope="row"') == 6 * len(cells) + 2  # a cell, its five runs; two baselines
    assert ("gates" in names(data)) == (cells != ["RNN"])


def test_diverged_run_is_called_so() -> None:
    data = sample()
    lost = next(run for run in data.record.runs if run.cell == "GRU" and run.is_chosen)
    diverged = lost.model_copy(update={"score": NAN, "validation_score": NAN, "stopped_because": "not finite"})
    runs = [diverged if run is lost else run for run in data.record.runs]
    cells = [cell.model_copy(update={"mean_score": NAN, "std_score": NAN}) for cell in data.record.cells]
    metrics = [row.model_copy(update={"validation_score": NAN}) if row.step > 1000 else row for row in data.metrics]
    page = rendered(Sample(data.changed(runs=runs, cells=cells).record, metrics, data.flow))
    assert "diverged<small>3 seeds, 1 of 3 diverged" in page
    assert "NaN" not in page[page.index('id="charts"') :]


def test_runs_without_a_single_finite_number() -> None:
    data = sample()
    lost_row = {"validation_score": NAN, "flow": {"recurrent/l0/horizon": NAN}}
    metrics = [row.model_copy(update=lost_row) for row in data.metrics]
    nothing = np.full((1, 3), NAN)
    curve = FlowCurve(np.arange(3), nothing)
    flow = [RunFlow(run.cell, run.seed, curve, curve, nothing) for run in data.flow]
    lost = Sample(data.changed(baselines=[]).record, metrics, flow)
    assert names(lost) == ["learning"]
    assert "diverged" in rendered(with_task(lost, goal=None))


def test_gates_always_open_or_shut_are_drawn_at_the_edge_and_counted() -> None:
    data = sample(cells=["LSTM"], seeds=[0])
    half_life = np.array([[np.inf, 0.0, 5.0, 20.0, np.inf]])
    data = Sample(data.record, data.metrics, [dataclasses.replace(data.flow[0], half_life=half_life)])
    gates = next(picture for picture in pictures(data.record, [], data.flow) if picture.name == "gates")
    drawn = next(trace for trace in gates.figure.data if trace.name == "LSTM").x
    low, high = (10.0**limit for limit in gates.figure.layout.xaxis.range)
    assert low < drawn[1] < drawn[2] == 5.0 < drawn[3] == 20.0 < drawn[0] == drawn[4] < high
    assert (
        "of 5 units: 2 above 100\u202f000 steps or without end (right) and 1 below 0.1 steps (left)" in gates.caption[1]
    )


def test_context_is_drawn_only_where_it_was_cut() -> None:
    points = [ContextPoint(steps=k, score=0.5 / k) for k in (1, 2, 4, 8, 16, 32)]
    assert "context" not in names(sample())
    data = with_task(sample().changed(context=points), needed_lag=8, needed_lag_is_estimated=True)
    picture = pictures(data.record, data.metrics, data.flow)[-1]
    assert picture.name == "context"
    assert list(picture.figure.data[0].y) == [point.score for point in points]
    assert picture.figure.layout.shapes[0].x0 == 9  # a context of 9 steps reaches back 8
    page = rendered(data)
    assert "estimated needed lag 8" in page
    assert "needs about 8<" in page


def test_long_names_are_cut_in_charts_and_whole_in_tables() -> None:
    name = "the very best naive baseline that anybody has thought of so far"
    data = sample()
    baselines = [baseline.model_copy(update={"name": name}) for baseline in data.record.baselines]
    page = rendered(data.changed(baselines=baselines))
    text, charts = page.split('id="charts"')
    assert name in text
    assert name not in charts
    assert "the very best naive baseline that… " in json_text(charts)


def json_text(charts: str) -> str:
    return charts.encode().decode("unicode_escape")
