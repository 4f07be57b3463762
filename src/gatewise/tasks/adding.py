"""The adding problem: add the two marked numbers of a long sequence.

References
----------
Hochreiter & Schmidhuber (1997), experiment 4, doi:10.1162/neco.1997.9.8.1735. There values lie in [-1, 1], the length
varies and the target is .5 + (X1 + X2)/4. Here it is the form used since Le, Jaitly & Hinton (2015), arXiv:1504.00941:
values in [0, 1], fixed length, target X1 + X2; as in Arjovsky, Shah & Bengio (2016), arXiv:1511.06464, one marker lies
in each half.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from gatewise.tasks.memory import MemoryTask, check_length, uniform_integers
from gatewise.tasks.task import Baseline, Batch, Metric


class Adding(MemoryTask):
    """Each step shows a number from U[0, 1] and a marker; the answer is the sum of the two marked numbers.

    Parameters
    ----------
    length : int, default 100
        T, at least 2.
    """

    input_size = 2
    output_size = 1
    readout = "last"
    metric = Metric("mse", "lower")
    goal = 0.01

    def __init__(self, length: int = 100) -> None:
        self.sequence_length = check_length(length, 2, "adding")
        self.name = f"adding-T{length}"
        self.description = f"Add the two marked numbers of a sequence of {length}; one is marked in each half."
        # A first marker may stand on the very first step.
        self.needed_lag = length - 1

    def draw(self, num_sequences: int, generator: Generator) -> Batch:
        """Draw inputs (N, T, 2), number and marker, and targets (N, 1)."""
        length, half = self.sequence_length, self.sequence_length // 2
        numbers = torch.rand(num_sequences, length, generator=generator)
        markers = torch.zeros(num_sequences, length)
        rows = torch.arange(num_sequences)
        markers[rows, uniform_integers(0, half - 1, num_sequences, generator)] = 1
        markers[rows, uniform_integers(half, length - 1, num_sequences, generator)] = 1
        return Batch(torch.stack([numbers, markers], dim=-1), (numbers * markers).sum(1, keepdim=True))

    def baselines(self) -> tuple[Baseline, ...]:
        """Return the error of the answer 1: the variance of a sum of two U[0, 1] is 2/12."""
        return (Baseline("always 1", 1 / 6, "the mean of the sum; its error is the variance 1/6"),)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean squared error."""
        return F.mse_loss(outputs, targets)

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the mean squared error."""
        return float(F.mse_loss(outputs.double(), targets.double()))
