"""What the synthetic memory tasks share: fixed evaluation sequences from private seeds, and losses for classes."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from gatewise.errors import UsageError
from gatewise.tasks.task import Batch, Task

EVALUATION_SEQUENCES = 500
LONGEST = 20_000  # 500 such sequences of ten features take 400 MB
# Users number their seeds from 0; these two are far from anything that is typed.
_VALIDATION_SEED, _TEST_SEED = 777_000_001, 777_000_002


class MemoryTask(Task):
    """A task whose sequences are drawn: any number for training, fixed ones for validation and test."""

    @abstractmethod
    def draw(self, num_sequences: int, generator: Generator) -> Batch:
        """Draw sequences and targets; the same generator state gives the same batch."""

    def training_batch(self, batch_size: int, generator: Generator) -> Batch:
        """Draw training sequences."""
        return self.draw(batch_size, generator)

    def validation(self) -> Batch:
        """Return the same sequences at every call."""
        return self.draw(EVALUATION_SEQUENCES, torch.Generator().manual_seed(_VALIDATION_SEED))

    def test(self) -> Batch:
        """Return the same sequences at every call, others than for validation."""
        return self.draw(EVALUATION_SEQUENCES, torch.Generator().manual_seed(_TEST_SEED))


def check_length(length: int, minimum: int, task: str) -> int:
    """Return `length`, or say from where on the task makes sense."""
    if length < minimum:
        raise UsageError(f"{task} needs a length of at least {minimum} steps, got {length}")
    if length > LONGEST:
        raise UsageError(f"{task} takes a length of at most {LONGEST} steps, got {length}")
    return length


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy in nats of logits (..., C) against classes (...)."""
    return F.cross_entropy(outputs.flatten(0, -2), targets.flatten())


def uniform_integers(low: int, high: int, num: int, generator: Generator) -> Tensor:
    """Draw (num,) integers from low to high, both included."""
    return torch.randint(low, high + 1, (num,), generator=generator)
