"""Which trained networks `gatewise flow` measures: those of a comparison, one of its runs, or any saved model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatewise.compare.settings import TaskChoice
from gatewise.errors import DataError, GatewiseError, UsageError
from gatewise.records import Record, Run, RunFolder
from gatewise.records.store import RECORD_FILE
from gatewise.tasks import Task
from gatewise.training import MODEL_FILE, SequenceModel, evaluate, load


@dataclass(frozen=True)
class Network:
    """A trained network, and what its run says of it."""

    model: SequenceModel
    path: Path
    seed: int | None
    score: float
    solved: bool | None
    is_typical: bool  # of its cell's networks the one in the middle by validation score


@dataclass(frozen=True)
class TrainedNetworks:
    """What to measure, and on what."""

    networks: list[Network]
    task: Task
    needed_lag: int | None
    folder: RunFolder | None  # of the comparison, where all of its networks are measured


def find_networks(path: Path, data: TaskChoice | None) -> TrainedNetworks:
    """Return the networks at `path` and their task.

    Parameters
    ----------
    path : Path
        ``runs/NAME``, ``runs/NAME/LSTM-seed0-lr0.01`` or a saved model.
    data : TaskChoice or None
        What to measure on; None for the data that the run was trained on.

    Raises
    ------
    UsageError
        If there is nothing at `path`, data are missing or superfluous, or do not fit the network.
    GatewiseError
        If no network of the run was kept, or its data have changed since.
    """
    if (path / RECORD_FILE).is_file():
        if data is not None:
            raise UsageError(f"{path} is measured on the data of its run: leave out {data.source!r}, or name one model")
        return _of_comparison(RunFolder(path))
    if not path.exists():
        raise UsageError(f"nothing at {path}; give a run's folder (runs/NAME) or a saved model")
    if not (path if path.is_file() else path / MODEL_FILE).is_file():
        raise UsageError(f"{path} holds neither a run ({RECORD_FILE}) nor a saved model ({MODEL_FILE})")
    return _of_run(path) if data is None else _on_data(path, data)


def _of_comparison(folder: RunFolder) -> TrainedNetworks:
    record = folder.read_record()
    chosen = [run for run in record.runs if run.is_chosen]
    kept = [run for run in chosen if (folder.path / run.folder / MODEL_FILE).is_file()]
    if not kept:
        why = "has no finished run yet" if not chosen else "kept no network: every training diverged"
        raise GatewiseError(f"{folder.path} {why}; there is nothing to measure")
    by_cell = [[run for run in kept if run.cell == cell] for cell in record.settings.cells]
    typical = [_middle(runs, record) for runs in by_cell if runs]
    networks = [_network(run, folder.path / run.folder, is_typical=run in typical) for run in kept]
    return TrainedNetworks(networks, _task_of(record), record.task.needed_lag, folder)


def _of_run(path: Path) -> TrainedNetworks:
    """Return one network of a comparison, on the data of that comparison."""
    folder = path.parent if path.is_file() else path
    around = RunFolder(folder.resolve().parent)
    record = around.read_record() if (around.path / RECORD_FILE).is_file() else None
    run = next((run for run in record.runs if run.folder == folder.resolve().name), None) if record else None
    if record is None or run is None:
        raise UsageError(f"{path} belongs to no run: say on which DATA to measure it, such as `adding --length 50`")
    network = _network(run, path, is_typical=True)
    return TrainedNetworks([network], _task_of(record), record.task.needed_lag, None)


def _on_data(path: Path, data: TaskChoice) -> TrainedNetworks:
    """Return one network on data that the user names."""
    model, task = load(path), data.open()
    for what in ("input_size", "output_size", "readout"):
        of_model, of_task = getattr(model.config, what), getattr(task, what)
        if of_model != of_task:
            raise UsageError(f"{path} does not fit {task.name}: {what} is {of_model!r}, the data need {of_task!r}")
    score = evaluate(model, task, task.test())
    solved = None if task.goal is None else task.metric.reaches(score, task.goal)
    network = Network(model, path, None, score, solved, is_typical=True)
    return TrainedNetworks([network], task, task.needed_lag, None)


def _task_of(record: Record) -> Task:
    """Open the data that a comparison was made on, the same to the last byte."""
    settings = record.settings
    options: dict[str, Any] = dict(settings.options)
    task = TaskChoice(settings.source, **options | {"inputs": tuple(options.get("inputs", ()))}).open()
    recorded = record.task.source
    if recorded is not None and (task.source is None or task.source.sha256 != recorded.sha256):
        raise DataError(f"{settings.source} has changed since the run was made; measure one model with DATA instead")
    return task


def _network(run: Run, path: Path, *, is_typical: bool) -> Network:
    return Network(load(path), path, run.seed, run.score, run.solved, is_typical)


def _middle(runs: Sequence[Run], record: Record) -> Run:
    """Return the run in the middle by validation score, the better of two."""
    sign = 1 if record.metric.better == "lower" else -1
    ranked = sorted(runs, key=lambda run: sign * run.validation_score)
    return ranked[(len(ranked) - 1) // 2]
