"""The needed lag of real data, on tasks where it is known."""

import torch

from gatewise.compare.context import estimate_needed_lag, score_by_context
from gatewise.records import ContextPoint
from gatewise.tasks import Adding, Batch, Metric
from gatewise.training import LoopSettings, ModelConfig, SequenceModel, train


class Echo(Adding):
    """Say the number that was shown `lag` steps before the last."""

    goal, needed_lag = None, None

    def __init__(self, length, lag):
        super().__init__(length)
        self.lag = lag

    def draw(self, num_sequences, generator):
        batch = super().draw(num_sequences, generator)
        return Batch(batch.inputs, batch.inputs[:, -1 - self.lag, :1])


def test_needed_lag_of_an_echo_is_its_lag():
    task = Echo(12, 3)
    torch.manual_seed(0)
    model = SequenceModel(ModelConfig.for_task("GRU", 16, task))
    train(model, task, LoopSettings(1e-2, max_steps=500, validate_every=100), seed=0)
    points = score_by_context(model, task)
    assert points[-1].steps == 12
    assert points[-1].score < 0.01
    assert estimate_needed_lag(points, task) == 3


def test_context_that_brings_nothing_is_not_needed():
    task = Echo(12, 0)
    for whole in (0.5, 0.499, 0.6):
        points = [ContextPoint(steps=1, score=0.5), ContextPoint(steps=12, score=whole)]
        assert estimate_needed_lag(points, task) == 0


def test_shortest_context_with_95_percent_of_the_gain_counts():
    task = Echo(12, 0)
    scores = {1: 1.0, 2: 0.5, 4: 0.06, 8: 0.04, 12: 0.0}
    points = [ContextPoint(steps=steps, score=score) for steps, score in scores.items()]
    assert estimate_needed_lag(points, task) == 7
    task.metric = Metric("accuracy", "higher")
    points = [ContextPoint(steps=steps, score=1 - score) for steps, score in scores.items()]
    assert estimate_needed_lag(points, task) == 7
