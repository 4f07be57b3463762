"""Matched sizes: as close as whole numbers of units allow."""

import pytest

from gatewise.compare.matching import match_sizes, num_parameters
from gatewise.tasks import Adding, Copy
from gatewise.training import ModelConfig, SequenceModel

CELLS = ("RNN", "LSTM", "GRU")


@pytest.mark.parametrize("task", [Adding(20), Copy(5)])
@pytest.mark.parametrize("hidden_size", [1, 7, 32, 100])
def test_parameters_are_as_close_as_can_be(task, hidden_size):
    sizes = match_sizes(CELLS, hidden_size, task, "parameters", 32)
    assert sizes["LSTM"].hidden_size == hidden_size
    target = sizes["LSTM"].parameters
    for cell in CELLS:
        size = sizes[cell].hidden_size
        distance = abs(sizes[cell].parameters - target)
        neighbours = [abs(num_parameters(cell, other, task) - target) for other in (size - 1, size + 1) if other > 0]
        assert distance <= min(neighbours)


def test_counted_parameters_are_those_of_the_model():
    for cell in CELLS:
        model = SequenceModel(ModelConfig.for_task(cell, 13, Adding(20)))
        assert num_parameters(cell, 13, Adding(20)) == sum(p.numel() for p in model.parameters())


def test_hidden_size_can_be_matched_instead():
    sizes = match_sizes(CELLS, 12, Adding(20), "hidden-size", 32)
    assert {size.hidden_size for size in sizes.values()} == {12}
    assert len({size.parameters for size in sizes.values()}) == 3


def test_time_can_be_matched_instead():
    sizes = match_sizes(CELLS, 8, Adding(5), "time", 4)
    assert sizes["LSTM"].hidden_size == 8
    assert all(size.step_time_ms is not None and size.step_time_ms > 0 for size in sizes.values())
    assert all(2 <= size.hidden_size <= 32 for size in sizes.values())


def test_without_lstm_the_gru_is_the_reference():
    sizes = match_sizes(("RNN", "GRU"), 12, Adding(20), "parameters", 32)
    assert sizes["GRU"].hidden_size == 12
    assert sizes["RNN"].hidden_size > 12
