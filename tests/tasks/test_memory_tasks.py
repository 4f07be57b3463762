"""The memory tasks: what is shown, what is asked, and what their baselines are worth."""

import math

import pytest
import torch

from gatewise.errors import UsageError
from gatewise.tasks import MEMORY_TASKS, Adding, Copy, TemporalOrder


def draw(task, num=400, seed=0):
    return task.draw(num, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", MEMORY_TASKS)
def test_same_seed_gives_same_batch(name):
    task = MEMORY_TASKS[name](20)
    first, again, other = draw(task), draw(task), draw(task, seed=1)
    assert torch.equal(first.inputs, again.inputs)
    assert torch.equal(first.targets, again.targets)
    assert not torch.equal(first.inputs, other.inputs)


@pytest.mark.parametrize("name", MEMORY_TASKS)
def test_evaluation_sequences_are_fixed_and_apart(name):
    task = MEMORY_TASKS[name](20)
    state = torch.get_rng_state()
    assert torch.equal(task.validation().inputs, task.validation().inputs)
    assert not torch.equal(task.validation().inputs, task.test().inputs)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", MEMORY_TASKS)
def test_shapes_are_as_declared(name):
    task = MEMORY_TASKS[name](20)
    batch = draw(task, 7)
    assert batch.inputs.shape == (7, task.sequence_length, task.input_size)
    assert batch.inputs.dtype == torch.float32
    outputs = torch.zeros(7, task.sequence_length, task.output_size)
    outputs = outputs if task.readout == "every" else outputs[:, -1]
    assert task.loss(outputs, batch.targets).shape == ()
    assert math.isfinite(task.score(outputs, batch.targets))


def test_adding_marks_one_number_in_each_half_and_asks_for_their_sum():
    batch = draw(Adding(11))
    numbers, markers = batch.inputs.unbind(-1)
    assert (markers[:, :5].sum(1) == 1).all()
    assert (markers[:, 5:].sum(1) == 1).all()
    assert markers.any(dim=0).all()  # every position is used
    for row in range(5):
        marked = [numbers[row, t].item() for t in range(11) if markers[row, t] == 1]
        assert batch.targets[row].item() == pytest.approx(sum(marked))


def test_adding_baseline_is_what_always_one_scores():
    task = Adding(30)
    (baseline,) = task.baselines()
    batch = draw(task, 20_000)
    scored = task.score(torch.ones(20_000, 1), batch.targets)
    assert baseline.score == 1 / 6
    assert scored == pytest.approx(baseline.score, abs=0.005)  # its standard error is .0014
    assert task.score(torch.full((20_000, 1), 0.8), batch.targets) > baseline.score + 0.02


@pytest.mark.parametrize(("delay", "expected"), [(100, 0.1733), (200, 0.0945), (300, 0.0650), (500, 0.0400)])
def test_copy_baseline_is_ten_log_eight_over_length(delay, expected):
    task = Copy(delay)
    (baseline,) = task.baselines()
    assert baseline.score == pytest.approx(10 * math.log(8) / (delay + 20), rel=1e-15)
    assert round(baseline.score, 4) == expected
    batch = draw(task, 50)
    probabilities = torch.zeros(50, task.sequence_length, 9)
    probabilities[:, :-10, 8] = 1
    probabilities[:, -10:, :8] = 1 / 8
    assert task.score(probabilities.clamp(min=1e-30).log(), batch.targets) == pytest.approx(baseline.score, rel=1e-6)
    probabilities[:, -10:] = 1 / 9  # the blank is taken for a possible answer too: 10 ln 9 / (T + 20)
    worse = task.score(probabilities.clamp(min=1e-30).log(), batch.targets)
    assert worse == pytest.approx(10 * math.log(9) / (delay + 20), rel=1e-6)
    assert worse != pytest.approx(baseline.score, rel=1e-2)


def test_copy_asks_for_the_symbols_it_showed():
    task = Copy(30)
    batch = draw(task)
    shown = batch.inputs.argmax(-1)
    assert shown.shape[1] == 50
    assert torch.equal(batch.targets[:, -10:], shown[:, :10])
    assert (batch.targets[:, :-10] == 8).all()
    assert (shown[:, :10] < 8).all()
    assert (shown[:, 39] == 9).all()
    assert ((shown == 9).sum(1) == 1).all()
    # The answer to step t of the last ten was shown needed_lag steps before.
    assert torch.equal(batch.targets[:, -1], shown[:, 49 - task.needed_lag])


def test_temporal_order_classes_follow_the_two_symbols():
    task = TemporalOrder(50)
    batch = draw(task)
    shown = batch.inputs.argmax(-1)
    is_symbol = (shown == 4) | (shown == 5)
    assert (is_symbol.sum(1) == 2).all()
    for row in range(50):
        first, second = is_symbol[row].nonzero().flatten().tolist()
        assert 5 <= first <= 10
        assert 25 <= second <= 30
        assert batch.targets[row] == 2 * (shown[row, first] - 4) + (shown[row, second] - 4)
        assert 49 - first <= task.needed_lag
    assert sorted(batch.targets.unique().tolist()) == [0, 1, 2, 3]


def test_temporal_order_scores_the_share_of_right_answers():
    task = TemporalOrder(50)
    targets = torch.tensor([0, 1, 2, 3])
    right = torch.eye(4)
    assert task.score(right, targets) == 1.0
    assert task.score(right[[0, 1, 2, 0]], targets) == 0.75


@pytest.mark.parametrize(("name", "minimum"), [("adding", 2), ("copy", 1), ("temporal-order", 10)])
def test_too_short_a_length_is_refused(name, minimum):
    MEMORY_TASKS[name](minimum)
    with pytest.raises(UsageError, match=f"{name} needs a length of at least {minimum} steps, got {minimum - 1}"):
        MEMORY_TASKS[name](minimum - 1)
