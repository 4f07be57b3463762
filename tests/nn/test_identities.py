"""Identities that hold whatever the numbers: None = zeros, batch_first = transpose, two halves = the whole."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from evaluate import Runner, by_forward, by_trace, evaluate
from torch import Tensor

from problems import Problem, as_hx, build_layer, initial_states, one_of_each, padded_inputs
from tolerances import assert_bit_equal, assert_close, assert_fails, assert_same, spoilt

STACKED = {"num_layers": 2, "bidirectional": True}
BOTH_WAYS = (*one_of_each(**STACKED), Problem("LSTM", **STACKED, proj_size=3))
ONE_WAY = (*one_of_each(num_layers=2), Problem("LSTM", num_layers=2, proj_size=3))
each_problem = pytest.mark.parametrize("problem", BOTH_WAYS, ids=lambda problem: problem.id)
each_one_way = pytest.mark.parametrize("problem", ONE_WAY, ids=lambda problem: problem.id)
each_runner = pytest.mark.parametrize("run", [by_forward, by_trace], ids=["forward", "trace"])


def flat(output: Tensor, finals: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return output, *finals


@each_runner
@each_problem
@pytest.mark.parametrize("lengths", [None, (3, 0, 7)], ids=["full", "ragged"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "nobias"])
def test_no_state_is_bit_equal_to_zero_state(
    problem: Problem, run: Runner, lengths: tuple[int, ...] | None, bias: bool
) -> None:
    with_state = replace(problem, lengths=lengths, bias=bias)
    without = replace(with_state, has_initial_state=False)
    zeros = tuple(torch.zeros_like(state) for state in initial_states(problem))
    layer, x = build_layer(with_state), padded_inputs(problem)
    expected = flat(*run(layer, with_state, x, zeros))
    for actual, value in zip(flat(*run(layer, without, x, zeros)), expected, strict=True):
        assert_bit_equal(actual, value)
    other = flat(*run(layer, with_state, x, initial_states(problem)))
    assert_fails(assert_bit_equal, other[0], expected[0])


@each_runner
@each_problem
def test_batch_first_equals_the_transpose(problem: Problem, run: Runner) -> None:
    """`evaluate` transposes what goes in and comes out, and leaves the states alone."""
    transposed = replace(problem, batch_first=True)
    expected = evaluate(build_layer(problem), problem, run)
    actual = evaluate(build_layer(transposed), transposed, run)
    assert_same(actual, expected)
    assert_fails(assert_same, actual, expected | {"h_n": expected["h_n"].flip(1)})
    output, _ = build_layer(transposed)(padded_inputs(problem).transpose(0, 1))
    assert output.shape[:2] == (problem.num_sequences, problem.num_steps)


@each_runner
@each_problem
@pytest.mark.parametrize("lengths", [None, (4,), (0,)], ids=["full", "4", "0"])
def test_unbatched_equals_a_batch_of_one(problem: Problem, run: Runner, lengths: tuple[int, ...] | None) -> None:
    one = replace(problem, num_sequences=1, lengths=lengths)
    unbatched = replace(one, is_batched=False)
    expected = evaluate(build_layer(one), one, run)
    actual = evaluate(build_layer(unbatched), unbatched, run)
    assert_same(actual, expected)
    assert_fails(assert_same, actual, expected | {"grad h_0": spoilt(expected["grad h_0"])})


@each_problem
def test_unbatched_results_have_no_batch_axis(problem: Problem) -> None:
    unbatched = replace(problem, num_sequences=1, is_batched=False)
    layer, hx = build_layer(unbatched), as_hx(unbatched, initial_states(unbatched))
    output, final = layer(padded_inputs(unbatched).squeeze(1), hx, lengths=4)
    finals = final if isinstance(final, tuple) else (final,)
    assert output.shape == (7, 2 * problem.state_size)
    assert (output[4:] == 0).all()
    assert finals[0].shape == (4, problem.state_size)
    assert problem.cell != "LSTM" or finals[1].shape == (4, problem.hidden_size)


@each_runner
@each_one_way
@pytest.mark.parametrize("cut", [1, 3, 6])
def test_two_halves_equal_the_whole(problem: Problem, run: Runner, cut: int) -> None:
    layer, x, states = build_layer(problem), padded_inputs(problem), initial_states(problem)
    output, finals = run(layer, problem, x, states)
    first, between = run(layer, replace(problem, num_steps=cut), x[:cut], states)
    second, ended = run(layer, replace(problem, num_steps=7 - cut), x[cut:], between)
    for actual, expected in [(torch.cat([first, second]), output), *zip(ended, finals, strict=True)]:
        assert_close(actual, expected, "output")
        assert_fails(assert_close, actual, spoilt(expected), "output")
    forgotten, _ = run(layer, replace(problem, num_steps=7 - cut), x[cut:], states)
    assert_fails(assert_close, torch.cat([first, forgotten]), output, "output")


@each_runner
@each_problem
def test_sequences_of_a_batch_do_not_meet(problem: Problem, run: Runner) -> None:
    layer, x, states = build_layer(problem), padded_inputs(problem), initial_states(problem)
    whole = flat(*run(layer, problem, x, states))
    for n in range(problem.num_sequences):
        part = (state[:, n : n + 1] for state in states)
        alone = flat(*run(layer, replace(problem, num_sequences=1), x[:, n : n + 1], tuple(part)))
        for actual, expected in zip(whole, alone, strict=True):
            assert_close(actual[:, n : n + 1], expected, "output")
            assert_fails(assert_close, actual[:, n : n + 1], spoilt(expected), "output")


@each_problem
def test_trace_output_equals_forward(problem: Problem) -> None:
    layer, x = build_layer(problem), padded_inputs(problem)
    output, final = layer(x)
    trace = layer.trace(x)
    assert_close(trace.output, output, "output")
    assert_close(trace.h_n, final[0] if problem.cell == "LSTM" else final, "output")
    assert_fails(assert_close, trace.output, spoilt(output), "output")


@each_problem
@pytest.mark.parametrize("make", [lambda x: x[:, :, ::2], lambda x: x.mT.contiguous().mT, lambda x: x[::2]])
def test_layer_takes_strided_input(problem: Problem, make: object) -> None:
    wide = replace(problem, num_steps=14, input_size=8)
    x = make(padded_inputs(wide))[..., :4]
    layer = build_layer(problem)
    assert_close(layer(x)[0], layer(x.contiguous())[0], "output")
    assert_fails(assert_close, layer(x)[0], layer(x.contiguous() + 1)[0], "output")
