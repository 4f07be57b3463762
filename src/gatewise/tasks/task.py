"""What a task is: sequences in, targets out, a loss to train on, a score to compare by, and what is already known.

Shapes: N sequences, T steps, I input features, O outputs. Everything is batch-first.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from torch import Generator, Tensor


@dataclass(frozen=True)
class Metric:
    """The number by which networks are compared."""

    name: str
    better: Literal["lower", "higher"]

    def is_better(self, score: float, other: float) -> bool:
        """Whether `score` is strictly better than `other`; NaN is never better."""
        return score < other if self.better == "lower" else score > other

    def sort_key(self, score: float) -> float:
        """Return a key that sorts the best score first and what is not finite last."""
        if not math.isfinite(score):
            return math.inf
        return score if self.better == "lower" else -score

    def reaches(self, score: float, goal: float) -> bool:
        """Whether `score` is as good as `goal` or better."""
        return score <= goal if self.better == "lower" else score >= goal


@dataclass(frozen=True)
class Baseline:
    """A score that needs no network, and how it comes about."""

    name: str
    score: float
    explanation: str


@dataclass(frozen=True)
class Batch:
    """Sequences and what is to be said of them."""

    inputs: Tensor  # (N, T, I) float32
    targets: Tensor  # readout "last": (N, ...); readout "every": (N, T, ...)

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class Source:
    """Where the data of a task come from, so that a run can be repeated on the same data."""

    path: str
    sha256: str
    size: str  # in words: "732 rows", "412 345 characters"


class Task(ABC):
    """One thing to learn.

    Attributes
    ----------
    name : str
        Short, fit for a folder's name: ``adding-T100``.
    description : str
        One sentence for the report.
    input_size, output_size : int
        I and O.
    sequence_length : int
        T of the training sequences.
    readout : {"last", "every"}
        Whether the network answers after the last step or at every step.
    metric : Metric
    goal : float or None
        The score at which the task counts as solved; a task with a goal stops training only when solved.
    needed_lag : int or None
        How many steps back the network must remember; None where nobody knows (real data).
    source : Source or None
        Real data only.
    """

    name: str
    description: str
    input_size: int
    output_size: int
    sequence_length: int
    readout: Literal["last", "every"]
    metric: Metric
    goal: float | None = None
    needed_lag: int | None = None
    source: Source | None = None

    @abstractmethod
    def training_batch(self, batch_size: int, generator: Generator) -> Batch:
        """Draw a batch of training sequences; the same generator state gives the same batch."""

    @abstractmethod
    def validation(self) -> Batch:
        """Return the fixed sequences on which learning rates and stopping are decided."""

    @abstractmethod
    def test(self) -> Batch:
        """Return the fixed sequences that decide the comparison and nothing else."""

    @abstractmethod
    def baselines(self) -> tuple[Baseline, ...]:
        """Return the scores on the test sequences that need no network."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss as a scalar that training differentiates.

        Parameters
        ----------
        outputs : Tensor
            (N, O) for readout "last", (N, T, O) for "every".
        targets : Tensor
            As in `Batch`.
        """

    @abstractmethod
    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the metric of `outputs` against `targets`; shapes as in `loss`."""
