"""A table as a task: parts, scaling, windows, score and baselines."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gatewise.data import ForecastTask, Table
from gatewise.data.scaling import fit_scaler
from gatewise.errors import DataError
from gatewise.tasks import Batch, Source

ROWS = 200
FIRST, SECOND = 140, 170  # where validation and test begin
NOISE = np.random.default_rng(3)
LOAD = 50 + 9 * np.sin(np.arange(ROWS) * 2 * np.pi / 7) + NOISE.normal(size=ROWS)
WIND = NOISE.normal(size=ROWS) * 1e3


def table_of(load: NDArray[np.float64] = LOAD, wind: NDArray[np.float64] = WIND) -> Table:
    return Table(pl.DataFrame({"load": load, "wind": wind}), Source("g.csv", "0", f"{len(load)} rows"), 1)


def restored(task: ForecastTask, batch: Batch) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return inputs (N, T) of the target's past and targets (N, H) in their own unit."""
    return task.scaler.restore(batch.inputs[..., 0].double().numpy()), task.scaler.restore(
        batch.targets.double().numpy()
    )


def test_task_describes_itself() -> None:
    task = ForecastTask(table_of(), "load", inputs=["wind"], horizon=3)
    assert task.name == "forecast-load"
    assert (task.input_size, task.output_size, task.sequence_length) == (2, 3, 48)
    assert (task.readout, task.metric.name, task.metric.better) == ("last", "mse", "lower")
    assert task.description == "Forecast the next 3 values of load from the last 48 rows of load, wind."
    assert task.source == Source("g.csv", "0", "200 rows")


@pytest.mark.parametrize(("window", "horizon"), [(12, 1), (12, 5), (1, 1)])
def test_fixed_windows_are_all_windows_of_their_part(window: int, horizon: int) -> None:
    task = ForecastTask(table_of(), "load", window=window, horizon=horizon)
    for batch, start, stop in ((task.validation(), FIRST, SECOND), (task.test(), SECOND, ROWS)):
        firsts = range(start, stop - horizon + 1)
        inputs, targets = restored(task, batch)
        np.testing.assert_allclose(inputs, [LOAD[first - window : first] for first in firsts], rtol=1e-6)
        np.testing.assert_allclose(targets, [LOAD[first : first + horizon] for first in firsts], rtol=1e-6)


def test_training_windows_show_no_later_row(generator: torch.Generator) -> None:
    task = ForecastTask(table_of(np.arange(ROWS, dtype=float)), "load", window=12, horizon=5)
    inputs, targets = restored(task, task.training_batch(3000, generator))
    rows = np.concatenate([inputs, targets], axis=1).round().astype(int)
    assert (np.diff(rows, axis=1) == 1).all()
    assert (rows.min(), rows.max()) == (0, FIRST - 1)  # and every training row is used
    later = restored(task, task.test())[1].round().astype(int)
    assert later.min() == SECOND
    assert later.max() == ROWS - 1


def test_further_inputs_follow_the_target_and_are_scaled(generator: torch.Generator) -> None:
    task = ForecastTask(table_of(), "load", window=10, inputs=["wind"])
    batch = task.test()
    assert batch.inputs.shape == (30, 10, 2)
    assert batch.inputs.dtype == batch.targets.dtype == torch.float32
    wind = task.scaler.restore(batch.inputs[..., 1].double().numpy(), column=1)
    np.testing.assert_allclose(wind[0], WIND[SECOND - 10 : SECOND], rtol=1e-5)
    assert task.training_batch(4, generator).inputs.shape == (4, 10, 2)


def test_training_batch_repeats_with_the_generator(same: Callable[[Batch, Batch], bool]) -> None:
    task = ForecastTask(table_of(), "load")
    one, other, different = (task.training_batch(8, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert same(one, other)
    assert not same(one, different)


def test_scaler_ignores_validation_and_test_rows() -> None:
    scaler = ForecastTask(table_of(), "load", inputs=["wind"]).scaler
    np.testing.assert_allclose(scaler.mean, [LOAD[:FIRST].mean(), WIND[:FIRST].mean()])
    np.testing.assert_allclose(scaler.std, [LOAD[:FIRST].std(), WIND[:FIRST].std()])
    later, last = LOAD.copy(), LOAD.copy()
    later[FIRST:] *= 100
    last[FIRST - 1] *= 100
    assert ForecastTask(table_of(later), "load").scaler.mean[0] == scaler.mean[0]
    assert ForecastTask(table_of(last), "load").scaler.mean[0] != scaler.mean[0]  # the last training row does count


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_scaler_restores_what_it_scaled(mean: float, std: float) -> None:
    values = mean + std * WIND[:, None]
    scaler = fit_scaler(values, ["wind"], "g.csv")
    scaled = scaler.scale(values)
    assert abs(scaled.mean()) < 1e-6
    assert scaled.std() == pytest.approx(1)
    np.testing.assert_allclose(scaler.restore(scaled), values[:, :1], rtol=1e-9, atol=1e-9 * std)


def test_score_is_in_the_targets_own_unit() -> None:
    task = ForecastTask(table_of(), "load", horizon=2)
    batch = task.test()
    off_by_three = batch.targets + 3 / float(task.scaler.std[0])
    assert task.score(off_by_three, batch.targets) == pytest.approx(9, rel=1e-5)
    assert task.loss(off_by_three, batch.targets).item() == pytest.approx(9 / LOAD[:FIRST].var(), rel=1e-5)
    assert task.loss(off_by_three, batch.targets).item() != pytest.approx(9, rel=1e-2)


@pytest.mark.parametrize("horizon", [1, 4, 9])
def test_baselines_agree_with_a_plain_loop(horizon: int) -> None:
    task = ForecastTask(table_of(), "load", window=20, horizon=horizon)

    def error(period: int, start: int, stop: int) -> float:
        errors = []
        for first in range(start, stop - horizon + 1):
            past = list(LOAD[:first])
            for ahead in range(horizon):
                past.append(past[-period])
                errors.append((past[-1] - LOAD[first + ahead]) ** 2)
        return float(np.mean(errors))

    searched = {period: error(period, 20, FIRST) for period in range(2, 21)}
    period = min(searched, key=searched.__getitem__)
    last, seasonal = task.baselines()
    assert period % 7 == 0
    assert (last.name, seasonal.name) == ("last value", f"seasonal naive (period {period})")
    assert last.score == pytest.approx(error(1, SECOND, ROWS), rel=1e-12)
    assert seasonal.score == pytest.approx(error(period, SECOND, ROWS), rel=1e-12)
    assert seasonal.score < last.score


def test_last_value_scores_as_a_network_that_repeats_it() -> None:
    task = ForecastTask(table_of(), "load", window=8, horizon=3)
    batch = task.test()
    repeated = batch.inputs[:, -1:, 0].expand(-1, 3)
    assert task.score(repeated, batch.targets) == pytest.approx(task.baselines()[0].score, rel=1e-5)


def test_period_may_be_as_long_as_the_window() -> None:
    names = [ForecastTask(table_of(), "load", window=window).baselines()[1].name for window in (6, 7)]
    assert names[0] != "seasonal naive (period 7)"
    assert names[1] == "seasonal naive (period 7)"


def test_window_of_one_has_no_season() -> None:
    assert [baseline.name for baseline in ForecastTask(table_of(), "load", window=1).baselines()] == ["last value"]


def test_long_parts_are_thinned_to_1000_windows() -> None:
    long = np.tile(LOAD, 50)
    assert len(ForecastTask(table_of(long, long), "load").test()) == 1000


@settings(max_examples=30)
@given(st.integers(2, 40), st.integers(1, 20))
def test_shortest_table_has_a_window_in_every_part(window: int, horizon: int) -> None:
    with pytest.raises(DataError) as refusal:
        ForecastTask(table_of(LOAD[:2], WIND[:2]), "load", window=window, horizon=horizon)
    needed = int(str(refusal.value).split("needs at least ")[1].split(",")[0])
    task = ForecastTask(table_of(LOAD[:needed], WIND[:needed]), "load", window=window, horizon=horizon)
    assert len(task.validation()) >= 1
    assert len(task.test()) >= 1
    assert len(task.training_batch(2, torch.Generator().manual_seed(0))) == 2
    with pytest.raises(DataError, match=f"needs at least {needed},"):
        ForecastTask(table_of(LOAD[: needed - 1], WIND[: needed - 1]), "load", window=window, horizon=horizon)
