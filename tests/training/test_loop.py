"""The training loop: it learns, stops for the stated reasons, and keeps the best validation."""

import math
from dataclasses import replace

import pytest
import torch

from gatewise.tasks import Adding, Metric, TemporalOrder
from gatewise.training import CancelledTrainingError, LoopSettings, ModelConfig, SequenceModel, evaluate, train

SETTINGS = LoopSettings(learning_rate=1e-2, batch_size=16, max_steps=30, validate_every=10)


def model_for(task, cell="GRU", hidden_size=6):
    torch.manual_seed(0)
    return SequenceModel(ModelConfig.for_task(cell, hidden_size, task))


def train_on(task, settings=SETTINGS, seed=0, **callbacks):
    model = model_for(task)
    return model, train(model, task, settings, seed, **callbacks)


def test_training_learns_a_short_task_and_stops_when_solved():
    task = Adding(4)
    model, trained = train_on(task, replace(SETTINGS, max_steps=3000, validate_every=50))
    assert trained.stopped_because == "solved"
    assert trained.steps < 3000
    assert evaluate(model, task, task.test()) < 0.02
    assert [v.score <= task.goal for v in trained.history[-3:]] == [False, True, True]


def test_model_keeps_the_weights_of_the_best_validation():
    task = Adding(8)
    model, trained = train_on(task, replace(SETTINGS, learning_rate=0.3, max_steps=60, validate_every=5))
    scores = [v.score for v in trained.history]
    assert trained.best.score == min(scores)
    assert min(scores) != scores[-1]  # otherwise this shows nothing
    assert evaluate(model, task, task.validation()) == pytest.approx(min(scores), rel=1e-6)


def test_same_seed_trains_the_same_model():
    task = Adding(8)
    first, again, other = (train_on(task, seed=seed)[0].state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_training_leaves_the_global_random_state_alone():
    task = Adding(8)
    model = model_for(task)
    state = torch.get_rng_state()
    train(model, task, SETTINGS, seed=0)
    assert torch.equal(torch.get_rng_state(), state)


def test_every_cell_sees_the_same_batches():
    task = Adding(8)
    seen = {}
    for cell in ("RNN", "LSTM", "GRU"):
        drawn = []
        recorder = _Recorder(8, drawn)
        train(model_for(task, cell), recorder, SETTINGS, seed=5)
        seen[cell] = torch.stack(drawn)
    assert torch.equal(seen["RNN"], seen["LSTM"])
    assert torch.equal(seen["RNN"], seen["GRU"])


class _Recorder(Adding):
    def __init__(self, length, drawn):
        super().__init__(length)
        self.drawn = drawn

    def training_batch(self, batch_size, generator):
        batch = super().training_batch(batch_size, generator)
        self.drawn.append(batch.inputs)
        return batch


class _NeverBetter(Adding):
    goal = None

    def score(self, outputs, targets):
        return 1.0


def test_task_without_goal_stops_early():
    _, trained = train_on(_NeverBetter(8), replace(SETTINGS, max_steps=5000, patience=3))
    assert trained.stopped_because == "no improvement"
    assert trained.steps == 40  # the first validation is the best, three more bring nothing


def test_memory_task_does_not_stop_on_its_plateau():
    _, trained = train_on(Adding(8), replace(SETTINGS, learning_rate=1e-9, max_steps=300, patience=3))
    assert trained.stopped_because == "max steps"
    assert trained.steps == 300


def test_time_budget_ends_training_with_a_validation():
    _, trained = train_on(Adding(8), replace(SETTINGS, max_steps=10**9, validate_every=10**9, time_budget_s=0.2))
    assert trained.stopped_because == "time budget"
    assert trained.best is not None


def test_loss_that_is_not_finite_ends_training():
    class Broken(Adding):
        def loss(self, outputs, targets):
            return super().loss(outputs, targets) * math.inf

    _, trained = train_on(Broken(8))
    assert trained.stopped_because == "not finite"
    assert trained.steps == 1


def test_training_can_be_cancelled_from_a_callback():
    def cancel(step):
        if step == 3:
            raise CancelledTrainingError

    with pytest.raises(CancelledTrainingError):
        train_on(Adding(8), on_step=cancel)


def test_higher_is_better_keeps_the_highest():
    task = TemporalOrder(10)
    assert task.metric == Metric("accuracy", "higher")
    _, trained = train_on(task, replace(SETTINGS, max_steps=100))
    assert trained.best.score == max(v.score for v in trained.history)


def test_network_that_answers_nan_has_no_score():
    task = TemporalOrder(10)
    model = model_for(task)
    assert math.isfinite(evaluate(model, task, task.test()))
    with torch.no_grad():
        model.readout.bias[0] = math.nan
    assert math.isnan(evaluate(model, task, task.test()))


def test_plain_descent_takes_the_step_of_the_gradient_and_infinity_clips_nothing():
    task = Adding(6)
    settings = replace(SETTINGS, learning_rate=0.1, max_steps=1, optimizer="sgd", clip_norm=math.inf)
    model, expected = model_for(task), model_for(task)
    train(model, task, settings, seed=3)
    batch = task.training_batch(settings.batch_size, torch.Generator().manual_seed(3))
    task.loss(expected(batch.inputs), batch.targets).backward()
    for parameter, reference in zip(model.parameters(), expected.parameters(), strict=True):
        assert torch.allclose(parameter, reference - 0.1 * reference.grad, rtol=0, atol=1e-7)
        assert not torch.allclose(parameter, reference - 0.2 * reference.grad, rtol=0, atol=1e-7)
