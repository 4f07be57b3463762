"""Jozefowicz, Zaremba & Sutskever (2015): the LSTM's forget gate should start open."""

from __future__ import annotations

from collections.abc import Sequence

from gatewise import nn
from gatewise.tasks import Adding
from gatewise.training import LoopSettings, SequenceModel
from gatewise.yardsticks.arm import Arm, train_arm
from gatewise.yardsticks.yardstick import Criterion, Numbers, Theirs, Yardstick, count, median_ratio

LEAST_RATIO = 1.2


class Jozefowicz(Yardstick):
    """Steps to the goal with forget bias 0 and 1."""

    name = "jozefowicz2015"
    source = (
        "Jozefowicz, Zaremba & Sutskever (2015), An empirical exploration of recurrent network architectures. ICML, "
        "proceedings.mlr.press/v37/jozefowicz15"
    )
    claim = "An LSTM whose forget gate starts open (bias 1) learns long dependencies sooner than one with bias 0."
    theirs = Theirs("a forget bias of 1 closes the gap between the LSTM and the GRU", "abstract")
    ours = (
        "adding T = 200, LSTM of 32 units, Adam .01, clipping at 1, batches of 32, at most 4000 steps; steps to mse "
        ".01, twice in a row, a run that does not get there counts with 4000; both biases get the same weights and "
        "batches"
    )
    judged = "bias 1 gets there in at least 4 of 5 seeds; median over seeds of steps(0)/steps(1) at least 1.2"
    quick = "T = 30, 1 seed, 600 steps"
    seeds = (0, 1, 2, 3, 4)

    def run(self, seed: int, is_quick: bool = False) -> Numbers:
        """Train with both biases."""
        task = Adding(30 if is_quick else 200)
        numbers: Numbers = {}
        for bias in (0.0, 1.0):

            def start(model: SequenceModel, bias: float = bias) -> None:
                nn.init.forget_bias_(model.recurrent, bias)

            loop = LoopSettings(1e-2, max_steps=600 if is_quick else 4000)
            numbers |= train_arm(Arm(f"bias {bias:g}", "LSTM", 32, loop, start), task, seed).numbers()
        return numbers

    def judge(self, runs: Sequence[Numbers]) -> list[Criterion]:
        """Compare the steps seed by seed."""
        ratio = median_ratio(runs, "bias 0: sequences", "bias 1: sequences")
        return [
            Criterion("seeds solved with bias 1", count(runs, "bias 1: solved"), "at least", 0.8 * len(runs)),
            Criterion("median of steps(0)/steps(1)", ratio, "at least", LEAST_RATIO),
        ]
