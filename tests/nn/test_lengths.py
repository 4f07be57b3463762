"""`lengths`: a padded batch in any order, zeros included, is each sequence alone; padding is never read."""

from __future__ import annotations

import random as python_random

import pytest
import torch
from evaluate import Runner, by_forward, by_trace, evaluate, one_by_one
from hypothesis import given, settings
from hypothesis import strategies as st

from problems import Problem, Results, build_layer, build_pair, initial_states, one_of_each, padded_inputs
from tolerances import assert_bit_equal, assert_close, assert_fails, assert_same, spoilt

LENGTHS = (3, 7, 0, 1, 7)
RAGGED = {"num_sequences": 5, "lengths": LENGTHS, "num_layers": 2, "bidirectional": True}
PROBLEMS = (*one_of_each(**RAGGED), Problem("LSTM", **RAGGED, proj_size=3, batch_first=True))
each_problem = pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.id)
each_runner = pytest.mark.parametrize("run", [by_forward, by_trace], ids=["forward", "trace"])


def past_end(lengths: tuple[int, ...], num_steps: int = 7) -> torch.Tensor:
    """Return (T, N) bool."""
    return torch.arange(num_steps)[:, None] >= torch.tensor(lengths)


def evaluate_with_padding(problem: Problem, run: Runner, fill: float) -> Results:
    """Evaluate with `fill` past each sequence's end."""
    padded = padded_inputs(problem)
    padded[past_end(problem.lengths)] = fill
    return evaluate(build_layer(problem), problem, run, padded)


@each_runner
@each_problem
@pytest.mark.parametrize("fill", [float("nan"), float("inf"), 1e300])
def test_lengths_padding_never_leaks(problem: Problem, run: Runner, fill: float) -> None:
    clean, dirty = (evaluate_with_padding(problem, run, value) for value in (0.0, fill))
    for name, value in dirty.items():
        assert value.isfinite().all(), name
        assert_bit_equal(value, clean[name], name)
    moved = padded_inputs(problem)  # negative control: a step INSIDE a sequence is read
    moved[past_end(LENGTHS)] = 0.0
    moved[2, 0] += 1e-6
    assert_fails(assert_same, evaluate(build_layer(problem), problem, run, moved), clean)


@each_runner
@each_problem
def test_lengths_padding_has_zero_output_and_gradient(problem: Problem, run: Runner) -> None:
    results = evaluate_with_padding(problem, run, float("nan"))
    for name in ("output", "grad input"):
        assert (results[name][past_end(LENGTHS)] == 0).all(), name
        assert (results[name][~past_end(LENGTHS)] != 0).any(), name


@each_runner
@each_problem
def test_lengths_zero_returns_the_initial_state(problem: Problem, run: Runner) -> None:
    layer, empty = build_layer(problem), LENGTHS.index(0)
    states = tuple(state.requires_grad_() for state in initial_states(problem))
    x = padded_inputs(problem).requires_grad_()
    output, finals = run(layer, problem, x, states)
    cotangents = [torch.randn_like(final) for final in finals]
    loss = sum((final * cotangent).sum() for final, cotangent in zip(finals, cotangents, strict=True)) + output.sum()
    loss.backward()
    for state, final, cotangent in zip(states, finals, cotangents, strict=True):
        assert_bit_equal(final[:, empty], state[:, empty].detach())
        assert_bit_equal(state.grad[:, empty], cotangent[:, empty])
        assert_fails(assert_bit_equal, final[:, 0], state[:, 0].detach())
        assert_fails(assert_bit_equal, state.grad[:, 0], cotangent[:, 0])
    assert (x.grad[:, empty] == 0).all()


@each_runner
@each_problem
def test_lengths_zero_adds_nothing_to_the_weights(problem: Problem, run: Runner) -> None:
    """The gradients of the weights are those of the same batch without its empty sequence."""
    kept = [n for n, length in enumerate(LENGTHS) if length]
    smaller = Problem(**{**vars(problem), "num_sequences": len(kept), "lengths": tuple(LENGTHS[n] for n in kept)})
    gradients = []
    for case, columns in ((problem, slice(None)), (smaller, kept)):
        layer = build_layer(case)
        states = tuple(state[:, columns] for state in initial_states(problem))
        output, finals = run(layer, case, padded_inputs(problem)[:, columns], states)
        (output.square().sum() + sum(final.square().sum() for final in finals)).backward()
        gradients.append({name: parameter.grad for name, parameter in layer.named_parameters()})
    for name, value in gradients[1].items():
        assert_close(gradients[0][name], value, "gradient", name)
        assert_fails(assert_close, gradients[0][name], spoilt(value), "gradient")


@each_runner
@each_problem
def test_lengths_all_zero_gives_zero_gradients_that_exist(problem: Problem, run: Runner) -> None:
    """The user's backward must not fail because a whole batch is empty, even without initial states."""
    nothing = Problem(**{**vars(problem), "lengths": (0,) * 5, "has_initial_state": False})
    layer, x = build_layer(nothing), padded_inputs(nothing).requires_grad_()
    output, finals = run(layer, nothing, x, initial_states(nothing))
    assert (output == 0).all()
    assert all((final == 0).all() for final in finals)
    (output.sum() + finals[0].sum()).backward()
    for name, parameter in [("x", x), *layer.named_parameters()]:
        assert parameter.grad is not None, name
        assert (parameter.grad == 0).all(), name


@each_runner
@each_problem
def test_lengths_all_full_equal_no_lengths(problem: Problem, run: Runner) -> None:
    full = Problem(**{**vars(problem), "lengths": (7,) * 5})
    without = Problem(**{**vars(problem), "lengths": None})
    expected = evaluate(build_layer(without), without, run)
    actual = evaluate(build_layer(full), full, run)
    assert_same(actual, expected)
    assert_fails(assert_same, evaluate(build_layer(problem), problem, run), expected)


@each_problem
@pytest.mark.parametrize("kind", [tuple, torch.tensor, lambda v: torch.tensor(v, dtype=torch.int32)])
def test_lengths_may_be_any_sequence_or_tensor_of_ints(problem: Problem, kind: object) -> None:
    layer, x = build_layer(problem), padded_inputs(problem)
    x = x.transpose(0, 1) if problem.batch_first else x
    assert_bit_equal(layer(x, lengths=kind(LENGTHS))[0], layer(x, lengths=list(LENGTHS))[0])
    assert_bit_equal(layer.trace(x, lengths=kind(LENGTHS)).hidden, layer.trace(x, lengths=list(LENGTHS)).hidden)
    assert_fails(assert_bit_equal, layer(x, lengths=kind(LENGTHS))[0], layer(x, lengths=[3, 7, 0, 1, 6])[0])


@each_problem
def test_lengths_argument_is_left_unchanged(problem: Problem) -> None:
    lengths, x = torch.tensor(LENGTHS), padded_inputs(problem)
    build_layer(problem)(x.transpose(0, 1) if problem.batch_first else x, lengths=lengths)
    assert lengths.tolist() == list(LENGTHS)


@settings(max_examples=12)
@given(lengths=st.lists(st.integers(0, 4), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_lengths_of_any_batch_equal_each_sequence_alone(lengths: list[int], seed: int) -> None:
    options = {"num_steps": 4, "num_sequences": len(lengths), "lengths": tuple(lengths), "bidirectional": True}
    problem = python_random.Random(seed).choice(one_of_each(**options))
    theirs, ours = build_pair(problem)
    expected = evaluate(theirs, problem, one_by_one)
    for run in (by_forward, by_trace):
        actual = evaluate(ours, problem, run)
        assert_same(actual, expected)
        assert_fails(assert_same, actual, expected | {"h_n": spoilt(expected["h_n"])})
