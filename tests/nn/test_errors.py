"""The same mistake raises the same type of error as in torch.nn; the message says what was expected and what came."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import RNNBase
from torch.nn.utils.rnn import pack_padded_sequence

import gatewise as gw
from problems import Problem, build_layer, build_pair, one_of_each

T, N, I, H = 7, 3, 4, 5  # noqa: E741 - the sizes' letters
X = torch.zeros(T, N, I)
Mistake = Callable[[RNNBase], object]


def states(layer: RNNBase, *shape: int, dtype: torch.dtype = torch.float32) -> object:
    """Return hx with h_0 (and c_0) of a shape."""
    zeros = torch.zeros(shape, dtype=dtype)
    return (zeros, zeros) if layer.mode == "LSTM" else zeros


MISTAKES: dict[str, Callable[[RNNBase], tuple[object, ...]]] = {
    "input size": lambda layer: (torch.zeros(T, N, I + 1),),
    "input size unbatched": lambda layer: (torch.zeros(T, I - 1),),
    "input dtype": lambda layer: (X.double(),),
    "input of integers": lambda layer: (X.long(),),
    "no steps": lambda layer: (X[:0],),
    "no steps unbatched": lambda layer: (X[:0, 0],),
    "1-D": lambda layer: (X[0, 0],),
    "4-D": lambda layer: (X[None],),
    "h_0 units": lambda layer: (X, states(layer, 1, N, H + 1)),
    "h_0 sequences": lambda layer: (X, states(layer, 1, N + 1, H)),
    "h_0 layers": lambda layer: (X, states(layer, 2, N, H)),
    "h_0 dtype": lambda layer: (X, states(layer, 1, N, H, dtype=torch.float64)),
    "h_0 2-D with a batch": lambda layer: (X, states(layer, 1, H)),
    "h_0 3-D without a batch": lambda layer: (X[:, 0], states(layer, 1, N, H)),
    "packed input size": lambda layer: (pack_padded_sequence(torch.zeros(T, N, I + 1), torch.tensor([7, 4, 2])),),
    "packed h_0": lambda layer: (pack_padded_sequence(X, torch.tensor([7, 4, 2])), states(layer, 1, N + 1, H)),
}
each_problem = pytest.mark.parametrize("problem", one_of_each(), ids=lambda problem: problem.id)


def error_of(call: Callable[..., object], *arguments: object, **keywords: object) -> Exception | None:
    """Return what a call raises."""
    try:
        call(*arguments, **keywords)
    except Exception as error:
        return error
    return None


@each_problem
@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("method", ["forward", "trace"])
def test_mistake_raises_what_torch_raises(problem: Problem, mistake: str, method: str) -> None:
    theirs, ours = build_pair(problem, torch.float32)
    expected = error_of(theirs, *MISTAKES[mistake](theirs))
    actual = error_of(getattr(ours, method), *MISTAKES[mistake](ours))
    assert expected is not None, "torch itself accepts this"
    assert type(actual) is type(expected), f"{actual!r}, torch: {expected!r}"


@each_problem
def test_right_calls_raise_nothing(problem: Problem) -> None:
    """Negative control for `error_of`."""
    _, ours = build_pair(problem, torch.float32)
    for call in (ours, ours.trace):
        assert error_of(call, X, states(ours, 1, N, H)) is None
        assert error_of(call, X[:, 0], states(ours, 1, H)) is None


@pytest.mark.parametrize("problem", one_of_each(batch_first=True), ids=lambda problem: problem.id)
@pytest.mark.parametrize("method", ["forward", "trace"])
def test_wrong_state_under_batch_first_names_the_expected_shape(problem: Problem, method: str) -> None:
    """The classic: states keep (L*D, N, H) under batch_first."""
    layer = build_layer(problem, dtype=torch.float32)
    with pytest.raises(RuntimeError) as caught:
        getattr(layer, method)(torch.zeros(N, T, I), states(layer, N, 1, H))
    assert "(1, 3, 5)" in str(caught.value)
    assert "[3, 1, 5]" in str(caught.value) or "(3, 1, 5)" in str(caught.value)


def test_lstm_state_mistakes_raise_what_torch_raises() -> None:
    theirs, ours = build_pair(Problem("LSTM", proj_size=3), torch.float32)
    right_h, right_c = torch.zeros(1, N, 3), torch.zeros(1, N, H)
    for hx in ((right_c, right_c), (right_h, right_h), (right_c, right_h), (right_h, right_c[:, :2])):
        expected = error_of(theirs, X, hx)
        assert expected is not None
        for call in (ours, ours.trace):
            assert type(error_of(call, X, hx)) is type(expected)
    assert error_of(ours, X, (right_h, right_c)) is None


@pytest.mark.parametrize("method", ["forward", "trace"])
def test_state_of_the_wrong_kind_is_an_error_that_says_which(method: str) -> None:
    """Here torch fails by accident (IndexError or RuntimeError, AttributeError): we say what is wrong."""
    h_0 = torch.zeros(1, N, H)
    with pytest.raises(RuntimeError, match="pair"):
        getattr(build_layer(Problem("LSTM"), dtype=torch.float32), method)(X, h_0)
    with pytest.raises(RuntimeError, match="one tensor h_0"):
        getattr(build_layer(Problem("GRU"), dtype=torch.float32), method)(X, (h_0, h_0))


@each_problem
@pytest.mark.parametrize(
    "lengths",
    [
        [7, 7],
        [7, 7, 7, 7],
        [7, -1, 7],
        [7, 8, 7],
        [1.5, 2.0, 3.0],
        [True, False, True],
        7,
        [[7, 7, 7]],
        [],
        [7, None, 7],
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["forward", "trace"])
def test_bad_lengths_are_an_error_that_names_them(problem: Problem, lengths: object, method: str) -> None:
    layer = build_layer(problem, dtype=torch.float32)
    with pytest.raises((ValueError, TypeError), match="lengths must"):
        getattr(layer, method)(X, lengths=lengths)


@pytest.mark.parametrize("lengths", [[4], [4, 4], torch.tensor([4]), -1, 8, True])
def test_bad_lengths_of_unbatched_input_are_an_error(lengths: object) -> None:
    layer = build_layer(Problem("GRU"), dtype=torch.float32)
    for call in (layer, layer.trace):
        with pytest.raises((ValueError, TypeError), match="lengths must"):
            call(X[:, 0], lengths=lengths)
    layer(X[:, 0], lengths=4)


@pytest.mark.parametrize("value", [-1, 8])
def test_length_out_of_range_says_which_and_how_far(value: int) -> None:
    with pytest.raises(ValueError, match=f"between 0 and 7, got {value} for sequence 1"):
        build_layer(Problem("GRU"), dtype=torch.float32)(X, lengths=[7, value, 7])


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ("LSTM", {"hidden_size": 0}),
        ("GRU", {"input_size": 0}),
        ("RNN", {"num_layers": 0}),
        ("LSTM", {"proj_size": 5}),
        ("LSTM", {"proj_size": -1}),
        ("GRU", {"proj_size": 2}),
        ("RNN", {"proj_size": 2}),
        ("RNN", {"nonlinearity": "sin"}),
        ("LSTM", {"nonlinearity": "relu"}),
        ("LSTM", {"dropout": 1.5}),
        ("LSTM", {"hidden_size": 5.0}),
        ("GRU", {"bias": 1}),
        ("GRU", {"dropout": 0.5}),  # a warning, here an error: one layer has nothing to drop between
    ],
)
def test_bad_options_raise_what_torch_raises(cell: str, options: dict[str, object]) -> None:
    keywords = {"input_size": 4, "hidden_size": 5} | options
    expected = error_of(getattr(torch.nn, cell), **keywords)
    assert expected is not None
    assert type(error_of(getattr(gw.nn, cell), **keywords)) is type(expected)
