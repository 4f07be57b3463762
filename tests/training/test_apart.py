"""Memory capacity on windows of one series: nothing that is scored may have been fitted."""

import torch

from gatewise.tasks import Batch
from gatewise.training import ModelConfig, SequenceModel
from gatewise.training.apart import apart
from gatewise.training.measure import capacity

WINDOW = 48


def windows(stride: int, count: int = 400) -> Batch:
    """Return windows of noise, which nobody can predict."""
    row = torch.randn(stride * count + WINDOW, 1, generator=torch.Generator().manual_seed(0))
    inputs = torch.stack([row[stride * n : stride * n + WINDOW] for n in range(count)])
    return Batch(inputs, torch.arange(count))


def test_windows_that_overlap_are_left_out():
    assert apart(windows(1), 3).targets.tolist() == [0, 48, 96]
    assert apart(windows(5), 3).targets.tolist() == [0, 10, 20]
    assert apart(windows(WINDOW), 3).targets.tolist() == [0, 1, 2]
    assert len(apart(windows(1, count=30), 3)) == 1
    twice = Batch(torch.zeros(4, WINDOW, 1), torch.arange(4))
    assert len(apart(twice, 3)) == 1


def test_no_memory_is_found_in_overlapping_windows_of_noise():
    """A GRU with gates half open holds no input of 18 steps ago; fitted and scored on the same ones it seems to."""
    torch.manual_seed(0)
    model = SequenceModel(ModelConfig("GRU", 1, 64, 1, "last")).eval()
    data = windows(4)
    honest, leaking = capacity(model, apart(data, 32)), capacity(model, Batch(data.inputs[:32], data.targets[:32]))
    assert max(honest.r_squared[18:]) < 0.05
    assert max(leaking.r_squared[18:]) > 0.2


def test_too_few_steps_have_no_capacity():
    model = SequenceModel(ModelConfig("RNN", 1, 3, 1, "last"))
    short = torch.rand(2, 12, 1)
    assert capacity(model, Batch(short[:1], torch.zeros(1))) is None
    assert capacity(model, Batch(short, torch.zeros(2))) is not None
