"""One run of a comparison, from seed to record; it may be executed in a process of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gatewise import flow
from gatewise.records import FlowCurve, MetricRow, Run, RunFlow
from gatewise.tasks import Task
from gatewise.training import (
    LoopSettings,
    ModelConfig,
    SequenceModel,
    Trained,
    Validation,
    WatchedSteps,
    evaluate,
    save,
    train,
)
from gatewise.training.measure import FLOW_SEQUENCES, first, gradient_by_lag, half_life, trace_in_float64


@dataclass(frozen=True)
class RunPlan:
    """What one run is to do."""

    config: ModelConfig
    seed: int
    loop: LoopSettings
    folder: str  # name below the comparison's folder
    is_monitored: bool = True  # whether the gradient's flow is kept at each validation

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
    validation = first(task.validation(), FLOW_SEQUENCES)
    before = gradient_by_lag(model, task, validation)
    trained, flow_by_step = _train(plan, model, task, on_step, on_validation)
    metrics = [_metric_row(plan, row, flow_by_step.get(row.step)) for row in trained.history]
    if trained.best is None:  # it diverged at once: there is no trained network to test, measure or keep
        nothing = FlowCurve(before.lags.numpy(), np.full_like(before.log_norm.numpy(), math.nan))
        run = _run_record(plan, task, model, trained, math.nan, before, None)
        return RunOutcome(run, metrics, RunFlow(cell, seed, _curve(before), nothing, None))
    after = gradient_by_lag(model, task, validation)
    score = evaluate(model, task, task.test())
    folder = out / plan.folder
    folder.mkdir(exist_ok=True)
    save(model, folder)
    return RunOutcome(
        run=_run_record(plan, task, model, trained, score, before, after),
        metrics=metrics,
        flow=RunFlow(cell, seed, _curve(before), _curve(after), half_life(trace_in_float64(model, validation))),
    )


def _train(
    plan: RunPlan,
    model: SequenceModel,
    task: Task,
    on_step: Callable[[int], None],
    on_validation: Callable[[Validation], None],
) -> tuple[Trained, dict[int, dict[str, float]]]:
    """Train `model`; also return what a monitor saw at the steps that end in a validation."""
    if not plan.is_monitored:
        return train(model, task, plan.loop, plan.seed, on_step, on_validation), {}
    with WatchedSteps(model, plan.loop.validate_every, plan.loop.max_steps, task.needed_lag) as watched:

        def after_step(step: int) -> None:
            watched(step)
            on_step(step)

        trained = train(model, task, plan.loop, plan.seed, after_step, on_validation)
    return trained, watched.scalars


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


def _metric_row(plan: RunPlan, validation: Validation, flow_there: dict[str, float] | None) -> MetricRow:
    return MetricRow(
        cell=plan.config.cell,
        seed=plan.seed,
        learning_rate=plan.loop.learning_rate,
        step=validation.step,
        training_loss=validation.training_loss,
        validation_score=validation.score,
        gradient_norm=validation.gradient_norm,
        seconds=validation.seconds,
        flow=flow_there,
    )
