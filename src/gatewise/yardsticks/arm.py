"""One arm of an experiment: a network started and trained in one way, and the few numbers that the claims are about."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from gatewise.tasks import Task
from gatewise.training import LoopSettings, ModelConfig, SequenceModel, Trained, evaluate, train
from gatewise.yardsticks.yardstick import Numbers


@dataclass(frozen=True)
class Arm:
    """A network and how it is trained.

    Attributes
    ----------
    name : str
        Begins the names of its numbers.
    cell : str
    hidden_size : int
    loop : LoopSettings
    start : callable
        Changes the freshly drawn model in place: its initialisation, or its layer.
    """

    name: str
    cell: str
    hidden_size: int
    loop: LoopSettings
    start: Callable[[SequenceModel], object] = lambda model: None


@dataclass(frozen=True)
class Result:
    """A trained arm."""

    arm: Arm
    task: Task
    model: SequenceModel
    trained: Trained

    @property
    def is_solved(self) -> bool:
        """Whether training reached the task's goal, twice in a row."""
        return self.trained.stopped_because == "solved"

    @property
    def score(self) -> float:
        """The score on the test sequences at the best validation; NaN if training never gave a finite one."""
        if self.trained.best is None:
            return math.nan
        return evaluate(self.model, self.task, self.task.test())

    def first_step(self, goal: float) -> float:
        """Return the first validated step whose score reaches `goal`; the last step trained if none does."""
        reached = (row.step for row in self.trained.history if self.task.metric.reaches(row.score, goal))
        return next(reached, self.trained.steps)

    def numbers(self) -> Numbers:
        """Return score, whether the goal was reached, and the sequences seen until training stopped."""
        return {
            f"{self.arm.name}: {self.task.metric.name}": self.score,
            f"{self.arm.name}: solved": float(self.is_solved),
            f"{self.arm.name}: sequences": float(self.trained.steps * self.arm.loop.batch_size),
        }


def train_arm(arm: Arm, task: Task, seed: int) -> Result:
    """Draw the network from `seed` and train it on the batches that `seed` gives; torch's random state is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SequenceModel(ModelConfig.for_task(arm.cell, arm.hidden_size, task))
        arm.start(model)
    return Result(arm, task, model, train(model, task, arm.loop, seed))
