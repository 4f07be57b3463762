"""The training loop: optimizer, clipping, validation, and when to stop."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from gatewise.tasks import Batch, Task
from gatewise.training.model import SequenceModel

StoppedBecause = Literal["solved", "max steps", "no improvement", "time budget", "not finite"]

# A task counts as solved when so many validations in a row reach its goal: one may be luck.
SOLVED_VALIDATIONS = 2
EVALUATION_BATCH = 250

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}


@dataclass(frozen=True)
class LoopSettings:
    """How one network is trained."""

    learning_rate: float
    batch_size: int = 32
    max_steps: int = 2000
    clip_norm: float = 1.0  # inf: no clipping
    validate_every: int = 50
    patience: int = 10  # validations without improvement before a task without a goal stops
    time_budget_s: float | None = None  # of computing (CPU) time
    optimizer: Literal["adam", "sgd"] = "adam"


@dataclass(frozen=True)
class Validation:
    """What is known at one validation."""

    step: int
    training_loss: float  # mean since the last validation
    score: float
    gradient_norm: float  # mean before clipping, since the last validation
    seconds: float  # since training began


@dataclass(frozen=True)
class Trained:
    """How a training run went; the model itself holds the weights of the best validation."""

    history: list[Validation]
    best: Validation | None  # None where no validation gave a number
    steps: int
    seconds: float
    stopped_because: StoppedBecause


class CancelledTrainingError(Exception):
    """Training was called off from outside."""


def train(
    model: SequenceModel,
    task: Task,
    settings: LoopSettings,
    seed: int,
    on_step: Callable[[int], None] = lambda step: None,
    on_validation: Callable[[Validation], None] = lambda validation: None,
) -> Trained:
    """Train `model` in place and leave it with the weights of its best validation.

    Parameters
    ----------
    model : SequenceModel
    task : Task
    settings : LoopSettings
    seed : int
        Decides the training batches, and so gives every cell the same ones in the same order.
    on_step, on_validation : callable
        Told of progress; may raise `CancelledTrainingError`.

    Returns
    -------
    Trained
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = OPTIMIZERS[settings.optimizer](model.parameters(), lr=settings.learning_rate)  # type: ignore[call-arg]
    validation_data = task.validation()
    history: list[Validation] = []
    best: Validation | None = None
    best_weights = copy.deepcopy(model.state_dict())
    losses: list[float] = []
    norms: list[float] = []
    # Seconds are those on the clock; the budget counts computing, so that a busy machine does not cut it short.
    started, started_cpu = time.perf_counter(), time.process_time()
    step = 0
    stopped_because: StoppedBecause | None = None
    while stopped_because is None:
        step += 1
        loss, norm = _train_step(model, task, task.training_batch(settings.batch_size, generator), optimizer, settings)
        losses.append(loss)
        norms.append(norm)
        on_step(step)
        stopped_because = _must_stop(step, loss + norm, time.process_time() - started_cpu, settings)
        if stopped_because is None and step % settings.validate_every:
            continue
        score = evaluate(model, task, validation_data)
        history.append(Validation(step, _mean(losses), score, _mean(norms), time.perf_counter() - started))
        losses, norms = [], []
        on_validation(history[-1])
        if math.isfinite(score) and (best is None or task.metric.is_better(score, best.score)):
            best, best_weights = history[-1], copy.deepcopy(model.state_dict())
        stopped_because = _may_stop(task, history, best, settings) or stopped_because
    model.load_state_dict(best_weights)
    return Trained(history, best, step, time.perf_counter() - started, stopped_because)


def evaluate(model: SequenceModel, task: Task, data: Batch) -> float:
    """Return the task's score of `model` on `data`; NaN where an output is not finite, which accuracy would hide."""
    outputs = predict(model, data.inputs)
    return task.score(outputs, data.targets) if outputs.isfinite().all() else math.nan


def predict(model: SequenceModel, inputs: Tensor) -> Tensor:
    """Return the model's outputs for (N, T, I), computed in batches without gradients."""
    was_training = model.training
    model.eval()
    with torch.no_grad():
        outputs = torch.cat([model(chunk) for chunk in torch.split(inputs, EVALUATION_BATCH)])
    model.train(was_training)
    return outputs


def _train_step(
    model: SequenceModel, task: Task, batch: Batch, optimizer: torch.optim.Optimizer, settings: LoopSettings
) -> tuple[float, float]:
    """Take one step; return the loss and the gradient's norm before clipping."""
    loss = task.loss(model(batch.inputs), batch.targets)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    norm = clip_grad_norm_(model.parameters(), settings.clip_norm)
    optimizer.step()
    return float(loss.detach()), float(norm)


def _must_stop(step: int, loss_and_norm: float, seconds: float, settings: LoopSettings) -> StoppedBecause | None:
    """Return why training cannot go on, if it cannot."""
    if not math.isfinite(loss_and_norm):
        return "not finite"
    if settings.time_budget_s is not None and seconds >= settings.time_budget_s:
        return "time budget"
    return "max steps" if step >= settings.max_steps else None


def _may_stop(
    task: Task, history: list[Validation], best: Validation | None, settings: LoopSettings
) -> StoppedBecause | None:
    """Memory tasks sit on a plateau first and stop only when solved; others stop when they no longer improve."""
    if task.goal is not None:
        recent = [validation.score for validation in history[-SOLVED_VALIDATIONS:]]
        is_solved = len(recent) == SOLVED_VALIDATIONS and all(task.metric.reaches(score, task.goal) for score in recent)
        return "solved" if is_solved else None
    best_step = 0 if best is None else best.step
    return "no improvement" if history[-1].step - best_step >= settings.patience * settings.validate_every else None


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan
