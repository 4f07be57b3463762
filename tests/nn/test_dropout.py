"""Dropout between layers draws torch.nn's own masks under the same seed, and nothing else from the generator."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import RNNBase
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from problems import Problem, build_pair, one_of_each, padded_inputs
from tolerances import assert_bit_equal, assert_close, assert_fails

LENGTHS = (3, 7, 1, 7)
DEEP = {"num_layers": 3, "num_sequences": 4, "dropout": 0.4}
PROBLEMS = (*one_of_each(**DEEP), *one_of_each(**DEEP, bidirectional=True), Problem("LSTM", **DEEP, proj_size=3))
each_problem = pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.id)


def drawn(call: Callable[[], Tensor], seed: int = 5) -> tuple[Tensor, Tensor]:
    """Return the result under a seed, and the generator's state afterwards."""
    torch.manual_seed(seed)
    return call().detach(), torch.get_rng_state()


def check_same_draws(actual: Callable[[], Tensor], expected: Callable[[], Tensor]) -> None:
    (value, state), (expected_value, expected_state) = drawn(actual), drawn(expected)
    assert_close(value, expected_value, "output")
    assert_bit_equal(state, expected_state, "state of the generator")
    assert_fails(assert_close, value, drawn(expected, seed=6)[0], "output")


def calls(layer: RNNBase, x: object, **lengths: object) -> list[Callable[[], Tensor]]:
    """Return forward and trace as functions that return the padded or packed output's numbers."""

    def numbers(output: object) -> Tensor:
        return output if isinstance(output, Tensor) else output.data

    return [lambda: numbers(layer(x, **lengths)[0]), lambda: numbers(layer.trace(x, **lengths).output)]


@each_problem
def test_dropout_draws_the_masks_of_torch(problem: Problem) -> None:
    theirs, ours = build_pair(problem)
    x = padded_inputs(problem)
    for call in calls(ours, x):
        check_same_draws(call, lambda: theirs(x)[0])


@each_problem
def test_dropout_draws_the_masks_of_torch_when_batch_first(problem: Problem) -> None:
    theirs, ours = build_pair(Problem(**{**vars(problem), "batch_first": True}))
    x = padded_inputs(problem).transpose(0, 1)
    for call in calls(ours, x):
        check_same_draws(call, lambda: theirs(x)[0])


@each_problem
@pytest.mark.parametrize("enforce_sorted", [True, False])
def test_dropout_draws_the_masks_of_torch_when_packed(problem: Problem, enforce_sorted: bool) -> None:
    theirs, ours = build_pair(problem)
    lengths = torch.tensor(sorted(LENGTHS, reverse=True) if enforce_sorted else LENGTHS)
    packed = pack_padded_sequence(padded_inputs(problem), lengths, enforce_sorted=enforce_sorted)
    for call in calls(ours, packed):
        check_same_draws(call, lambda: theirs(packed)[0].data)


@each_problem
def test_dropout_with_lengths_draws_the_masks_of_packed(problem: Problem) -> None:
    theirs, ours = build_pair(problem)
    x = padded_inputs(problem)
    packed = pack_padded_sequence(x, torch.tensor(LENGTHS), enforce_sorted=False)
    for call in calls(ours, x, lengths=list(LENGTHS)):
        check_same_draws(call, lambda: pad_packed_sequence(theirs(packed)[0])[0])


@each_problem
def test_dropout_forward_and_trace_agree_with_empty_sequences(problem: Problem) -> None:
    _, ours = build_pair(problem)
    forward, trace = calls(ours, padded_inputs(problem), lengths=[3, 0, 1, 7])
    check_same_draws(trace, forward)


@each_problem
def test_dropout_is_off_in_evaluation(problem: Problem) -> None:
    theirs, ours = (layer.eval() for layer in build_pair(problem))
    x = padded_inputs(problem)
    before = torch.get_rng_state()
    for call in calls(ours, x):
        assert_close(call(), theirs(x)[0], "output")
        assert_bit_equal(torch.get_rng_state(), before)
        assert_fails(assert_close, call(), theirs.train()(x)[0], "output")
        theirs.eval()
        torch.set_rng_state(before)


@each_problem
def test_dropout_one_drops_everything_between_layers(problem: Problem) -> None:
    theirs, ours = build_pair(Problem(**{**vars(problem), "dropout": 1.0}))
    x = padded_inputs(problem)
    for call, call_on_other in zip(calls(ours, x), calls(ours, x + 1), strict=True):
        assert_close(call(), theirs(x)[0], "output")
        assert_close(call(), call_on_other(), "output")  # nothing of the input is left
        assert_fails(assert_close, call(), theirs.eval()(x)[0], "output")
        theirs.train()
