"""Chung, Gulcehre, Cho & Bengio (2014): at equal parameters both gated cells are better than the tanh RNN."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from gatewise.compare.matching import match_sizes
from gatewise.compare.statistics import welch_interval
from gatewise.data import open_source
from gatewise.tasks import Adding, Task
from gatewise.training import LoopSettings
from gatewise.yardsticks.arm import Arm, train_arm
from gatewise.yardsticks.yardstick import Criterion, Numbers, Theirs, Yardstick, values

CELLS = ("RNN", "LSTM", "GRU")
GATED = ("LSTM", "GRU")


class Chung(Yardstick):
    """Three cells with as many parameters, on a memory task and on a text."""

    name = "chung2014"
    source = (
        "Chung, Gulcehre, Cho & Bengio (2014), Empirical evaluation of gated recurrent neural networks on sequence "
        "modeling. arXiv:1412.3555"
    )
    claim = "At equal parameters LSTM and GRU are both better than the tanh RNN and close to each other."
    theirs = Theirs(
        "polyphonic music and speech: gated units are better than tanh units, the GRU comparable to the LSTM",
        "abstract",
    )
    ours = (
        "adding T = 60 (LSTM of 32 units, Adam .01, batches of 32, at most 3000 steps) and the characters of Python's "
        "help texts (LSTM of 64 units, T = 64, Adam .003, batches of 32, 1000 steps); the others as many parameters; "
        "clipping at 1"
    )
    judged = (
        "text: the 95 % Welch interval of tanh minus the worse gated cell, in bits per character, excludes zero, and "
        "the gated cells are at most half as far from each other as the tanh cell from the worse; adding: in every "
        "seed the tanh cell's error is above that of both"
    )
    quick = "adding T = 20, 1 seed, 200 steps each"

    def run(self, seed: int, is_quick: bool = False) -> Numbers:
        """Train three cells on both tasks."""
        adding, text = Adding(20 if is_quick else 60), open_source("python-help", length=64)
        return self._train("adding", adding, 32, LoopSettings(1e-2, max_steps=200 if is_quick else 3000), seed) | (
            self._train("text", text, 64, LoopSettings(3e-3, max_steps=200 if is_quick else 1000), seed)
        )

    def _train(self, name: str, task: Task, hidden_size: int, loop: LoopSettings, seed: int) -> Numbers:
        sizes = match_sizes(CELLS, hidden_size, task, "parameters", loop.batch_size)
        return {
            f"{cell}, {name}: {task.metric.name}": train_arm(
                Arm(cell, cell, sizes[cell].hidden_size, loop), task, seed
            ).score
            for cell in CELLS
        }

    def judge(self, runs: Sequence[Numbers]) -> list[Criterion]:
        """Compare the cells on the text by their means, on the adding problem seed by seed."""
        bits = {cell: values(runs, f"{cell}, text: bits per character") for cell in CELLS}
        means = {cell: statistics.fmean(of_cell) for cell, of_cell in bits.items()}
        worse = max(GATED, key=means.__getitem__)
        closeness = abs(means["LSTM"] - means["GRU"]) / (means["RNN"] - means[worse])
        # One seed has no interval, and is not judged anyway.
        least_gain = welch_interval(bits["RNN"], bits[worse])[0] if len(runs) > 1 else means["RNN"] - means[worse]
        below = sum(
            all(numbers["RNN, adding: mse"] > numbers[f"{cell}, adding: mse"] for cell in GATED) for numbers in runs
        )
        return [
            Criterion("text, lower end of tanh minus the worse gated cell", least_gain, "at least", 0.0),
            Criterion("text, distance of the gated cells over that to tanh", abs(closeness), "at most", 0.5),
            Criterion("adding, seeds in which both gated cells are better", below, "at least", len(runs)),
        ]
