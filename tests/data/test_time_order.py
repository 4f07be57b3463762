"""Rows in the order of time, whichever way times are written."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewise.data import ForecastTask, Table
from gatewise.data.timeline import time_order
from gatewise.errors import DataError, GatewiseError, UsageError
from gatewise.tasks import Source

DAYS = [datetime(2023, 12, 20) + timedelta(days=day) for day in range(30)]


def table_of(times: Sequence[object] | pl.Series, header_line: int | None = 1) -> Table:
    values = pl.Series(range(len(times)), dtype=pl.Float64)
    return Table(pl.DataFrame({"when": times, "value": values}), Source("g.csv", "0", "30 rows"), header_line)


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(30)))
def test_order_sorts_shuffled_rows(shuffled: list[int]) -> None:
    order = time_order(table_of([DAYS[day].strftime("%d.%m.%Y") for day in shuffled]), "when")
    assert [shuffled[row] for row in order] == list(range(30))


FORMATS = [
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%m/%d/%Y",
    "%d/%m/%Y %H:%M",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S.%f",
    "%Y-%m-%dT%H:%M:%SZ",
    "%Y-%m-%d %H:%M:%S+02:00",
]


@pytest.mark.parametrize("written", FORMATS)
def test_text_dates_are_read_as_dates(written: str) -> None:
    backwards = [day.strftime(written) for day in reversed(DAYS)]
    assert time_order(table_of(backwards), "when").tolist() == list(range(29, -1, -1))


TYPED = [
    pl.Series([f"{2000 + month // 12}-{month % 12 + 1:02d}" for month in range(30)]),
    pl.Series([str(year) for year in range(1990, 2020)]),
    pl.Series([f" {step / 10} " for step in range(30)]),
    pl.Series(range(30)),
    pl.Series(DAYS),
    pl.Series(DAYS).cast(pl.Date),
    pl.Series(DAYS).cast(pl.Datetime("ns")),
    pl.Series(DAYS).dt.replace_time_zone("UTC"),
]


@pytest.mark.parametrize("times", TYPED, ids=str)
def test_months_numbers_and_typed_dates_are_read(times: pl.Series) -> None:
    assert time_order(table_of(times), "when").tolist() == list(range(30))
    assert time_order(table_of(times.reverse()), "when").tolist() == list(range(29, -1, -1))


def test_task_takes_rows_in_the_order_of_time() -> None:
    backwards = table_of([day.strftime("%Y-%m-%d") for day in reversed(DAYS)])
    sorted_task = ForecastTask(backwards, "value", window=3, time="when")
    as_they_stand = ForecastTask(backwards, "value", window=3)
    last = sorted_task.test().targets[-1].double().numpy()
    assert sorted_task.scaler.restore(last) == pytest.approx(0, abs=1e-5)
    last = as_they_stand.test().targets[-1].double().numpy()
    assert as_they_stand.scaler.restore(last) == pytest.approx(29)


def changed(row: int, time: object) -> list[object]:
    times: list[object] = [day.strftime("%Y-%m-%d") for day in DAYS]
    times[row] = time
    return times


REFUSED = [
    (
        changed(9, "soon"),
        UsageError,
        r"row 10 \(line 11 of the file\) holds 'soon', which is neither a number nor a date",
    ),
    (changed(9, "2023-12-32"), UsageError, r"row 10 .* holds '2023-12-32'"),
    (changed(9, "n/a"), DataError, r"'when' has no value in row 10 \(line 11 of the file\)"),
    (changed(9, "2023-12-28"), DataError, r"row 10 \(line 11 of the file\) has the same when as row 9, 2023-12-28"),
    ([f"0{day}/02/2024" for day in range(1, 9)], UsageError, r"which is the day and which the month \('01/02/2024'\)"),
    (["11/01/2024", "12/01/2024", "13/01/2024", "soon"], UsageError, "row 4 .* holds 'soon'"),  # only days come first
    (["01/02/24", "02/02/24"], UsageError, "row 1 .* holds '01/02/24'"),  # two digits are no year
    ([True, False], UsageError, "holds Boolean, neither numbers nor dates"),
    ([1.0, float("nan")], DataError, "'when' has no value in row 2"),
    (["1", "inf"], DataError, "'when' is infinite in row 2"),
]


@pytest.mark.parametrize(("times", "error", "message"), REFUSED)
def test_unusable_times_name_the_row(times: list[object], error: type[GatewiseError], message: str) -> None:
    with pytest.raises(error, match=message):
        time_order(table_of(times), "when")


def test_gap_names_the_row_and_both_times() -> None:
    times = [day.strftime("%Y-%m-%d") for day in DAYS]
    with pytest.raises(
        DataError, match="jumps from 2023-12-31 to 2024-01-02 at row 13, while its usual step is 1 day;"
    ):
        time_order(table_of(times[:12] + times[13:], header_line=None), "when")


def test_gap_begins_above_one_and_a_half_steps() -> None:
    steps = np.ones(20)
    steps[7] = 1.5
    assert len(time_order(table_of(pl.Series(np.cumsum(steps))), "when")) == 20
    steps[7] = 1.51
    with pytest.raises(DataError, match=r"jumps from 7\.0 to 8\.51 at row 8"):
        time_order(table_of(pl.Series(np.cumsum(steps))), "when")
