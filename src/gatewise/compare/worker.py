"""One run of a comparison, from seed to record; it may be executed in a process of its own."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gatewise import flow
from gatewise.records import FlowCurve, MetricRow, Run, RunFlow
from gatewise.tasks import Batch, Task
from gatewise.training import LoopSettings, ModelConfig, SequenceModel, Trained, Validation, evaluate, save, train

# Enough sequences for a mean of logs; more only cost time.
FLOW_SEQUENCES = 32


@dataclass(frozen=True)
class RunPlan:
    """What one run is to do."""

    config: ModelConfig
    seed: int
    loop: LoopSettings
    folder: str  # name below the comparison's folder

    @property
    def label(self) -> str:
        """How the run is called on the screen."""
        return f"{self.config.cell} seed {self.seed} lr {self.loop.learning_rate:g}"


@dataclass(frozen=True)
class RunOutcome:
    """What came of it."""

    run: Run
    metrics: list[MetricRow]
    flow: RunFlow


def execute(
    plan: RunPlan,
    task: Task,
    out: Path,
    on_step: Callable[[int], None] = lambda step: None,
    on_validation: Callable[[Validation], None] = lambda validation: None,
) -> RunOutcome:
    """Train, test and measure one network; write its model below `out`."""
    cell, seed = plan.config.cell, plan.seed
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SequenceModel(plan.config)
    validation = task.validation()
    before = _measure_gradient(model, task, validation)
    trained = train(model, task, plan.loop, seed, on_step, on_validation)
    metrics = [_metric_row(plan, row) for row in trained.history]
    if trained.best is None:  # it diverged at once: there is no trained network to test, measure or keep
        nothing = FlowCurve(before.lags.numpy(), np.full_like(before.log_norm.numpy(), math.nan))
        run = _run_record(plan, task, model, trained, math.nan, before, None)
        return RunOutcome(run, metrics, RunFlow(cell, seed, _curve(before), nothing, None))
    after = _measure_gradient(model, task, validation)
    score = evaluate(model, task, task.test())
    folder = out / plan.folder
    folder.mkdir(exist_ok=True)
    save(model, folder)
    return RunOutcome(
        run=_run_record(plan, task, model, trained, score, before, after),
        metrics=metrics,
        flow=RunFlow(cell, seed, _curve(before), _curve(after), _half_life(model, validation)),
    )


def _measure_gradient(model: SequenceModel, task: Task, validation: Batch) -> flow.GradientByLag:
    """Return the gradient by lag of the task's loss at the last step, on validation sequences."""
    inputs, targets = validation.inputs[:FLOW_SEQUENCES], validation.targets[:FLOW_SEQUENCES]

    def loss(outputs: Tensor) -> Tensor:
        return task.loss(outputs, targets)

    measured = flow.gradient_by_lag(model, inputs, loss)
    if isinstance(measured, dict):
        raise TypeError("a SequenceModel holds one recurrent layer")
    return measured


def _half_life(model: SequenceModel, validation: Batch) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None:
    layer = copy.deepcopy(model.recurrent).double()  # in float32 a gate near 1 is exactly 1 and never forgets
    with torch.no_grad():
        trace = layer.trace(validation.inputs[:FLOW_SEQUENCES].double())
    return None if trace.equations.memory_gate is None else flow.memory_half_life(trace).numpy()


def _curve(measured: flow.GradientByLag) -> FlowCurve:
    return FlowCurve(measured.lags.numpy(), measured.log_norm.numpy())


def _horizon(measured: flow.GradientByLag) -> int | None:
    horizon = float(measured.horizon[-1])
    return None if math.isnan(horizon) else int(horizon)


def _run_record(
    plan: RunPlan,
    task: Task,
    model: SequenceModel,
    trained: Trained,
    score: float,
    before: flow.GradientByLag,
    after: flow.GradientByLag | None,
) -> Run:
    return Run(
        cell=plan.config.cell,
        seed=plan.seed,
        hidden_size=plan.config.hidden_size,
        parameters=model.num_parameters(),
        learning_rate=plan.loop.learning_rate,
        is_chosen=False,  # the comparison decides, once the search is over
        score=score,
        validation_score=math.nan if trained.best is None else trained.best.score,
        solved=None if task.goal is None else task.metric.reaches(score, task.goal),
        steps=trained.steps,
        best_step=0 if trained.best is None else trained.best.step,
        seconds=trained.seconds,
        stopped_because=trained.stopped_because,
        horizon=None if after is None else _horizon(after),
        horizon_is_censored=after is not None and bool(after.horizon_is_censored[-1]),
        horizon_before=_horizon(before),
        folder=plan.folder,
    )


def _metric_row(plan: RunPlan, validation: Validation) -> MetricRow:
    return MetricRow(
        cell=plan.config.cell,
        seed=plan.seed,
        learning_rate=plan.loop.learning_rate,
        step=validation.step,
        training_loss=validation.training_loss,
        validation_score=validation.score,
        gradient_norm=validation.gradient_norm,
        seconds=validation.seconds,
    )
