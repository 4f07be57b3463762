"""Pascanu, Mikolov & Bengio (2013): a gradient that explodes ends plain SGD; clipping its norm lets it go on."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch.nn.init import normal_

from gatewise.tasks import TemporalOrder
from gatewise.training import LoopSettings, SequenceModel
from gatewise.yardsticks.arm import Arm, train_arm
from gatewise.yardsticks.yardstick import Criterion, Numbers, Theirs, Yardstick, count

HIDDEN_SIZE = 50
# Close to where gradients neither vanish nor explode at the start: spectral radius about .95.
WEIGHT_STD = 0.95 / math.sqrt(HIDDEN_SIZE)
LENGTHS, QUICK_LENGTHS = (10, 20, 40, 80), (10, 20)
SHORT, LONG = (10,), (40, 80)
CLIPPING = {"plain": math.inf, "clipped": 1.0}


class Pascanu(Yardstick):
    """Seeds in which SGD learns the temporal order, plain and clipped, by length."""

    name = "pascanu2013"
    source = (
        "Pascanu, Mikolov & Bengio (2013), On the difficulty of training recurrent neural networks. arXiv:1211.5063"
    )
    claim = "Plain SGD trains a tanh RNN on the temporal order up to about 20 steps and not beyond; clipping helps."
    theirs = Theirs(
        "T = 50 to 200, 5 seeds, SGD against clipping (and a regulariser); plain SGD fails beyond T of about 20",
        "paper",
    )
    ours = (
        "T = 10, 20, 40, 80; tanh RNN of 50 units, W_hh from N(0, (.95/sqrt 50)^2), SGD .05 without momentum, norm "
        "clipped at 1 or not at all, batches of 20, at most 4000 steps; solved at 99 % of 500 sequences, twice in a row"
    )
    judged = (
        "plain SGD solves T = 10 in 4 of 5 seeds and at most 1 of the 10 runs at T = 40 and 80; clipped SGD solves at "
        "least 3 runs more than plain there"
    )
    quick = "T = 10 and 20, 1 seed, 600 steps"
    seeds = (0, 1, 2, 3, 4)

    def run(self, seed: int, is_quick: bool = False) -> Numbers:
        """Train plain and clipped at every length."""
        numbers: Numbers = {}
        for length in QUICK_LENGTHS if is_quick else LENGTHS:
            for kind, clip_norm in CLIPPING.items():
                loop = LoopSettings(
                    0.05,
                    batch_size=20,
                    max_steps=600 if is_quick else 4000,
                    clip_norm=clip_norm,
                    validate_every=100,
                    optimizer="sgd",
                )
                arm = Arm(f"T = {length}, {kind}", "RNN", HIDDEN_SIZE, loop, _start)
                numbers |= train_arm(arm, TemporalOrder(length), seed).numbers()
        return numbers

    def judge(self, runs: Sequence[Numbers]) -> list[Criterion]:
        """Count the solved runs at short and at long lengths."""
        plain, clipped = (_num_solved(runs, LONG, kind) for kind in ("plain", "clipped"))
        return [
            Criterion("plain, solved at T = 10", _num_solved(runs, SHORT, "plain"), "at least", 0.8 * len(runs)),
            Criterion("plain, solved at T = 40 and 80", plain, "at most", 0.1 * len(LONG) * len(runs)),
            Criterion("solved there with clipping, more than plain", clipped - plain, "at least", 3),
        ]


def _start(model: SequenceModel) -> None:
    normal_(model.recurrent.weight_hh_l0, 0, WEIGHT_STD)


def _num_solved(runs: Sequence[Numbers], lengths: Sequence[int], kind: str) -> int:
    return sum(count(runs, f"T = {length}, {kind}: solved") for length in lengths)
