"""Watched steps: the numbers are those of a monitor all along, and training is bit for bit as without."""

import pytest
import torch

from gatewise import flow
from gatewise.tasks import Adding
from gatewise.training import LoopSettings, ModelConfig, SequenceModel, WatchedSteps, train
from tolerances import assert_bit_equal, assert_fails

SETTINGS = LoopSettings(learning_rate=1e-2, batch_size=16, max_steps=25, validate_every=10)
TASK = Adding(8)


def model_of(cell):
    torch.manual_seed(0)
    return SequenceModel(ModelConfig.for_task(cell, 6, TASK))


def watched_training(cell):
    model = model_of(cell)
    with WatchedSteps(model, SETTINGS.validate_every, SETTINGS.max_steps, TASK.needed_lag) as watched:
        trained = train(model, TASK, SETTINGS, seed=3, on_step=watched)
    return model, trained, watched


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_training_is_bit_equal_to_training_without(cell):
    model, trained, watched = watched_training(cell)
    assert watched.scalars
    plain = model_of(cell)
    expected = train(plain, TASK, SETTINGS, seed=3)
    for name, value in plain.state_dict().items():
        assert_bit_equal(model.state_dict()[name], value, name)
        assert_fails(assert_bit_equal, model.state_dict()[name], value + 1e-6, name)
    for row, other in zip(trained.history, expected.history, strict=True):
        assert (row.score, row.training_loss, row.gradient_norm) == (
            other.score,
            other.training_loss,
            other.gradient_norm,
        )


def test_scalars_are_those_of_a_monitor_that_sees_every_step():
    _, _, watched = watched_training("GRU")
    other, everything = model_of("GRU"), []
    with flow.Monitor(other, 1, lambda step, scalars: everything.append(scalars), TASK.needed_lag):
        train(other, TASK, SETTINGS, seed=3)
    assert list(watched.scalars) == [10, 20, 25]  # the last step too, which ends in a validation
    for step, scalars in watched.scalars.items():
        assert scalars == everything[step - 1]
        assert scalars != everything[step - 2]


def test_between_watched_steps_and_afterwards_nothing_hangs_on_the_model():
    model, hooks = model_of("LSTM"), {}
    with WatchedSteps(model, every=4, max_steps=100) as watched:

        def count_hooks(step):
            watched(step)
            hooks[step + 1] = len(model.recurrent._forward_hooks)  # what the next step will meet

        train(model, TASK, SETTINGS, seed=3, on_step=count_hooks)
    assert [step for step, number in hooks.items() if number] == [4, 8, 12, 16, 20, 24]
    assert not model.recurrent._forward_hooks
    assert not model.recurrent._forward_pre_hooks


def test_training_that_is_called_off_leaves_nothing_on_the_model():
    model = model_of("LSTM")
    watched = WatchedSteps(model, every=1, max_steps=100)

    def stop(step):
        watched(step)
        raise KeyboardInterrupt

    def watched_training():
        with watched:
            train(model, TASK, SETTINGS, seed=3, on_step=stop)

    with pytest.raises(KeyboardInterrupt):
        watched_training()
    assert list(watched.scalars) == [1]
    assert not model.recurrent._forward_hooks
