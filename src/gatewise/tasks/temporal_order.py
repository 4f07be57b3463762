"""The temporal order problem: say in which order two symbols came, long ago.

References
----------
Hochreiter & Schmidhuber (1997), experiment 6a, doi:10.1162/neco.1997.9.8.1735, with lengths 100 to 110; the positions
scale with T as in Pascanu, Mikolov & Bengio (2013), arXiv:1211.5063. Here the length is fixed.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from gatewise.tasks.memory import MemoryTask, check_length, cross_entropy, uniform_integers
from gatewise.tasks.task import Baseline, Batch, Metric

NUM_DISTRACTORS = 4
FIRST_OF_PAIR = NUM_DISTRACTORS  # X; Y follows it
START, END = NUM_DISTRACTORS + 2, NUM_DISTRACTORS + 3


class TemporalOrder(MemoryTask):
    """Two steps show X or Y, all others one of four distractors; the answer after the last step is XX, XY, YX or YY.

    The first symbol comes between T/10 and 2T/10, the second between 5T/10 and 6T/10, a start and an end mark around.

    Parameters
    ----------
    length : int, default 100
        T, at least 10.
    """

    input_size = NUM_DISTRACTORS + 4
    output_size = 4
    readout = "last"
    metric = Metric("accuracy", "higher")
    goal = 0.99

    def __init__(self, length: int = 100) -> None:
        self.sequence_length = check_length(length, 10, "temporal-order")
        self.name = f"temporal-order-T{length}"
        self.description = f"Say in which order two symbols came in a sequence of {length}: XX, XY, YX or YY."
        self.needed_lag = length - 1 - length // 10

    def draw(self, num_sequences: int, generator: Generator) -> Batch:
        """Draw one-hot inputs (N, T, 8) and target classes (N,)."""
        tenth = self.sequence_length // 10
        rows = torch.arange(num_sequences)
        shown = torch.randint(NUM_DISTRACTORS, (num_sequences, self.sequence_length), generator=generator)
        shown[:, 0], shown[:, -1] = START, END
        symbols = torch.randint(2, (num_sequences, 2), generator=generator)
        shown[rows, uniform_integers(tenth, 2 * tenth, num_sequences, generator)] = FIRST_OF_PAIR + symbols[:, 0]
        shown[rows, uniform_integers(5 * tenth, 6 * tenth, num_sequences, generator)] = FIRST_OF_PAIR + symbols[:, 1]
        return Batch(F.one_hot(shown, self.input_size).float(), 2 * symbols[:, 0] + symbols[:, 1])

    def baselines(self) -> tuple[Baseline, ...]:
        """Return the accuracy of guessing one of four."""
        return (Baseline("chance", 0.25, "one of four orders"),)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy of the four orders, in nats."""
        return cross_entropy(outputs, targets)

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the share of right answers."""
        return float((outputs.argmax(dim=-1) == targets).double().mean())
