"""A table as a task: forecast one numeric column. R rows, N windows, T = window, H = horizon, C columns fed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from gatewise.data.columns import numbers
from gatewise.data.files import folder_name, grouped
from gatewise.data.forecast_baselines import forecast_baselines
from gatewise.data.scaling import fit_scaler
from gatewise.data.split import Shares
from gatewise.data.table import Table
from gatewise.data.timeline import time_order
from gatewise.data.windows import drawn, evenly_spread, first_targets, gather
from gatewise.errors import DataError, UsageError
from gatewise.tasks import Baseline, Batch, Metric, Source, Task

SHARES = Shares(training=70, validation=15, test=15)
DEFAULT_WINDOW = 48  # two days of hours, four years of months: the shortest usual season is seen at least twice
_MAX_WINDOWS = 1000  # a validation is run every few steps of training and has to stay quick


class ForecastTask(Task):
    """Forecast the next values of one column from its past, and from the past of further columns.

    The first 70 % of the rows are for training, the next 15 % for validation, the last 15 % for the test. Every target
    lies in its own part; the inputs before it may reach back into the part before, as they would in use.

    Parameters
    ----------
    table : Table
    target : str
        The column to forecast.
    window : int, default 48
        T, how many rows the network sees.
    horizon : int, default 1
        H, how many values it forecasts, all at once.
    time : str, optional
        The column by which the rows are put in order; without it they are taken as they stand.
    inputs : sequence of str, optional
        Further columns to feed in beside the target's own past.

    Attributes
    ----------
    columns : list of str
        The C columns fed in, the target first.
    scaler : Scaler
        Fitted on the training part alone.

    Raises
    ------
    UsageError
        If an option cannot be used: no such column, not numeric, a window or horizon below 1.
    DataError
        If the rows cannot be used: missing values, gaps, too few of them, a constant column.

    Notes
    -----
    Inputs are scaled, (N, T, C) float32; so are targets, (N, H). The loss is taken in scaled units, the score in the
    target's own unit, squared.
    """

    readout: Literal["last", "every"] = "last"
    metric = Metric("mse", "lower")

    def __init__(
        self,
        table: Table,
        target: str,
        *,
        window: int = DEFAULT_WINDOW,
        horizon: int = 1,
        time: str | None = None,
        inputs: Sequence[str] = (),
    ) -> None:
        _check_options(target, window, horizon, time, inputs)
        self.columns = [target, *inputs]
        values = np.stack([numbers(table, name) for name in self.columns], axis=1)
        if time is not None:
            values = values[time_order(table, time)]
        _check_length(table.source, len(values), window, horizon)
        split = SHARES.split(len(values))
        self._training, self._validation, self._test = (
            first_targets(part, window, horizon) for part in (split.training, split.validation, split.test)
        )
        self._series = values[:, 0]
        self.scaler = fit_scaler(values[: split.training.stop], self.columns, table.path)
        self._scaled = torch.from_numpy(self.scaler.scale(values).astype(np.float32))
        self.name = f"forecast-{folder_name(target)}"
        self.description = _description(self.columns, window, horizon)
        self.input_size = len(self.columns)
        self.output_size = self.horizon = horizon
        self.sequence_length = window
        self.source = table.source

    def training_batch(self, batch_size: int, generator: Generator) -> Batch:
        """Draw windows at random positions of the training part."""
        return self._batch(drawn(self._training, batch_size, generator))

    def validation(self) -> Batch:
        """Return all windows of the validation part, or 1000 of them evenly spread."""
        return self._batch(evenly_spread(self._validation, _MAX_WINDOWS))

    def test(self) -> Batch:
        """Return all windows of the test part, or 1000 of them evenly spread."""
        return self._batch(evenly_spread(self._test, _MAX_WINDOWS))

    def baselines(self) -> tuple[Baseline, ...]:
        """Return the mean squared error of the last value and of the best period, on the test windows."""
        test = evenly_spread(self._test, _MAX_WINDOWS).numpy()
        return forecast_baselines(self._series, self._training, test, self.sequence_length, self.horizon)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean squared error in scaled units, of (N, H) and (N, H)."""
        return F.mse_loss(outputs, targets)

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the mean squared error in the target's own unit, squared, of scaled (N, H) and (N, H)."""
        return self.loss(outputs.double(), targets.double()).item() * float(self.scaler.std[0]) ** 2

    def _batch(self, first_target: Tensor) -> Batch:
        inputs = gather(self._scaled, first_target - self.sequence_length, self.sequence_length)
        return Batch(inputs, gather(self._scaled[:, 0], first_target, self.horizon))


def _check_options(target: str, window: int, horizon: int, time: str | None, inputs: Sequence[str]) -> None:
    for option, value in (("--window", window), ("--horizon", horizon)):
        if value < 1:
            raise UsageError(f"{option} must be at least 1, got {value}")
    if time == target:
        raise UsageError(f"{target!r} cannot be both --target and --time")
    if target in inputs:
        raise UsageError(f"{target!r} is the target; its own past is always fed in, leave it out of --inputs")
    twice = [name for position, name in enumerate(inputs) if name in inputs[:position]]
    if twice:
        raise UsageError(f"{twice[0]!r} is given twice in --inputs")


def _check_length(source: Source, rows: int, window: int, horizon: int) -> None:
    needed = SHARES.smallest_length(training=window + horizon, validation=horizon, test=horizon)
    if rows < needed:
        raise DataError(
            f"{source.path} has {source.size}; a window of {window} with a horizon of {horizon} needs at least "
            f"{grouped(needed)}, since the first {SHARES.training} % must hold both and the last {SHARES.test} % the "
            "horizon: give more rows or a shorter --window or --horizon"
        )


def _description(columns: list[str], window: int, horizon: int) -> str:
    what = "next value" if horizon == 1 else f"next {horizon} values"
    return f"Forecast the {what} of {columns[0]} from the last {window} rows of {', '.join(columns)}."
