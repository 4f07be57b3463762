"""The copy problem: repeat ten symbols after a long delay.

References
----------
Hochreiter & Schmidhuber (1997) in spirit; in this form Arjovsky, Shah & Bengio (2016), arXiv:1511.06464.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from gatewise.tasks.memory import MemoryTask, check_length, cross_entropy
from gatewise.tasks.task import Baseline, Batch, Metric

NUM_SYMBOLS, NUM_COPIED = 8, 10
BLANK, DELIMITER = NUM_SYMBOLS, NUM_SYMBOLS + 1


class Copy(MemoryTask):
    """Ten symbols of eight, `length` steps of delay ended by a delimiter, then the ten symbols are to be repeated.

    A sequence has length + 20 steps: the symbols, length - 1 blanks, the delimiter, ten blanks. The target is blank but
    for the last ten steps.

    Parameters
    ----------
    length : int, default 100
        The delay T, at least 1.
    """

    input_size = NUM_SYMBOLS + 2
    output_size = NUM_SYMBOLS + 1
    readout = "every"
    metric = Metric("cross-entropy", "lower")

    def __init__(self, length: int = 100) -> None:
        self.delay = check_length(length, 1, "copy")
        self.sequence_length = length + 2 * NUM_COPIED
        self.name = f"copy-T{length}"
        self.description = f"Repeat ten symbols of eight after a delay of {length} steps."
        self.needed_lag = length + NUM_COPIED
        # A tenth of what a network without memory reaches: nine symbols of ten are known.
        self.goal = self._baseline() / 10

    def draw(self, num_sequences: int, generator: Generator) -> Batch:
        """Draw one-hot inputs (N, T+20, 10) and target classes (N, T+20)."""
        symbols = torch.randint(NUM_SYMBOLS, (num_sequences, NUM_COPIED), generator=generator)
        shown = torch.full((num_sequences, self.sequence_length), BLANK)
        shown[:, :NUM_COPIED] = symbols
        shown[:, NUM_COPIED + self.delay - 1] = DELIMITER
        targets = torch.full((num_sequences, self.sequence_length), BLANK)
        targets[:, -NUM_COPIED:] = symbols
        return Batch(F.one_hot(shown, self.input_size).float(), targets)

    def baselines(self) -> tuple[Baseline, ...]:
        """Return what a network that knows when, but not what: 10 ln 8 / (T + 20)."""
        return (Baseline("no memory", self._baseline(), "blanks where they belong, then ten guesses of eight"),)

    def _baseline(self) -> float:
        return NUM_COPIED * math.log(NUM_SYMBOLS) / self.sequence_length

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy over all steps, in nats."""
        return cross_entropy(outputs, targets)

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the cross-entropy over all steps, in nats."""
        return float(cross_entropy(outputs.double(), targets))
