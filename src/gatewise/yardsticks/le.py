"""Le, Jaitly & Hinton (2015): a ReLU network that starts from the identity learns what a tanh network does not."""

from __future__ import annotations

from collections.abc import Sequence

from gatewise import nn
from gatewise.tasks import Adding
from gatewise.training import LoopSettings, SequenceModel
from gatewise.yardsticks.arm import Arm, train_arm
from gatewise.yardsticks.yardstick import Criterion, Numbers, Theirs, Yardstick, count, lowest

HIDDEN_SIZE = 100


class Le(Yardstick):
    """Adding with the IRNN and with the tanh RNN."""

    name = "le2015"
    source = (
        "Le, Jaitly & Hinton (2015), A simple way to initialize recurrent networks of rectified linear units. "
        "arXiv:1504.00941"
    )
    claim = "On the adding problem over 150 steps the tanh RNN fails and the IRNN (ReLU, W_hh = I) solves it."
    theirs = Theirs("adding T = 150 to 400, 100 units; the IRNN is comparable to an LSTM", "memory")
    ours = (
        "adding T = 150, 100 units, Adam .001, clipping at 1, batches of 16, at most 6000 steps; IRNN with W_hh = I, "
        "zero biases, torch's input weights; solved at mse .01, twice in a row"
    )
    judged = "the IRNN solves it in every seed; the tanh RNN stays above .15 in every seed"
    quick = "T = 20, 1 seed, 600 steps"

    def run(self, seed: int, is_quick: bool = False) -> Numbers:
        """Train both networks."""
        task = Adding(20 if is_quick else 150)
        loop = LoopSettings(1e-3, batch_size=16, max_steps=600 if is_quick else 6000, validate_every=100)
        numbers: Numbers = {}
        for arm in (Arm("IRNN", "RNN", HIDDEN_SIZE, loop, _start_from_identity), Arm("tanh", "RNN", HIDDEN_SIZE, loop)):
            numbers |= train_arm(arm, task, seed).numbers()
        return numbers

    def judge(self, runs: Sequence[Numbers]) -> list[Criterion]:
        """Hold the IRNN against the goal and the tanh network against its failure."""
        return [
            Criterion("seeds solved by the IRNN", count(runs, "IRNN: solved"), "at least", len(runs)),
            Criterion("lowest error of the tanh RNN", lowest(runs, "tanh: mse"), "at least", 0.15),
        ]


def _start_from_identity(model: SequenceModel) -> None:
    layer = nn.RNN(model.config.input_size, model.config.hidden_size, nonlinearity="relu", batch_first=True)
    model.recurrent = nn.init.identity_(layer)
