"""Arjovsky, Shah & Bengio (2016): what the RNN and the LSTM reach on the copy and the adding problem."""

from __future__ import annotations

from collections.abc import Sequence

from gatewise.tasks import Adding, Copy
from gatewise.training import LoopSettings
from gatewise.yardsticks.arm import Arm, train_arm
from gatewise.yardsticks.yardstick import Criterion, Numbers, Theirs, Yardstick, count, lowest

CELLS = ("RNN", "LSTM")


class Arjovsky(Yardstick):
    """The plateau of the copy problem, and adding beside it."""

    name = "arjovsky2016"
    source = "Arjovsky, Shah & Bengio (2016), Unitary evolution recurrent neural networks. arXiv:1511.06464"
    claim = (
        "Copying over a delay of 100, RNN and LSTM stay at what a network without memory reaches; adding over 100 "
        "steps, the LSTM solves it and the tanh RNN stays at 1/6."
    )
    theirs = Theirs("copy T = 100 to 500, adding T = 100 to 750, RMSprop .001, batches of 20", "paper")
    ours = (
        "copy T = 20 and 100 (tanh RNN and LSTM of 64 units, 3000 steps), adding T = 100 (at most 6000 steps); Adam "
        ".001, clipping at 1, batches of 20, torch's start"
    )
    judged = (
        "copy T = 100: the lowest cross-entropy of any seed is at least .9 of the baseline for both cells; adding: the "
        "LSTM solves it (mse .01) in every seed and no RNN falls below .15"
    )
    quick = "copy T = 10 and 20, adding T = 20, 1 seed, 300 steps"

    def run(self, seed: int, is_quick: bool = False) -> Numbers:
        """Train both cells on the three tasks."""
        numbers: Numbers = {}
        for kind, delay in zip(("short", "long"), (10, 20) if is_quick else (20, 100), strict=True):
            task = Copy(delay)
            for cell in CELLS:
                name = f"{cell}, {kind} copy"
                score = train_arm(Arm(name, cell, 64, _loop(300 if is_quick else 3000)), task, seed).score
                numbers[f"{name}: share of baseline"] = score / task.baselines()[0].score
        adding = Adding(20 if is_quick else 100)
        for cell in CELLS:
            arm = Arm(f"{cell}, adding", cell, 64, _loop(300 if is_quick else 6000))
            numbers |= train_arm(arm, adding, seed).numbers()
        return numbers

    def judge(self, runs: Sequence[Numbers]) -> list[Criterion]:
        """Hold the plateau against the baseline and the RNN against 1/6."""
        return [
            *(
                Criterion(
                    f"copy T = 100, lowest share of the baseline, {cell}",
                    lowest(runs, f"{cell}, long copy: share of baseline"),
                    "at least",
                    0.9,
                )
                for cell in CELLS
            ),
            Criterion("adding, seeds solved by the LSTM", count(runs, "LSTM, adding: solved"), "at least", len(runs)),
            Criterion("adding, lowest error of the RNN", lowest(runs, "RNN, adding: mse"), "at least", 0.15),
        ]


def _loop(max_steps: int) -> LoopSettings:
    return LoopSettings(1e-3, batch_size=20, max_steps=max_steps, validate_every=100)
