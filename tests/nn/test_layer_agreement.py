"""Layers against torch.nn over the whole list of problems: outputs, final states and all gradients."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from evaluate import Runner, by_forward, by_trace, evaluate, reference

from gatewise import _native
from problems import PROBLEMS, Problem, Results, build_layer, build_pair, one_of_each, without_dropout
from tolerances import TOLERANCES, assert_fails, assert_same, scale_free_error, spoilt

RUNNERS = [pytest.param(by_forward, id="forward"), pytest.param(by_trace, id="trace")]
each_runner = pytest.mark.parametrize("run", RUNNERS)
each_problem = pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.id)


@cache
def by_torch(problem: Problem, dtype: torch.dtype) -> Results:
    """Return what torch.nn computes, once for all runners."""
    return evaluate(build_layer(problem, torch.nn, dtype), problem, reference)


@each_runner
@each_problem
def test_layer_agrees_with_torch(problem: Problem, run: Runner) -> None:
    expected = by_torch(problem, torch.float64)
    actual = evaluate(build_layer(problem), problem, run)
    assert_same(actual, expected)
    for name, value in expected.items():
        assert_fails(assert_same, actual, expected | {name: spoilt(value)})


@each_runner
@pytest.mark.parametrize("problem", one_of_each(num_layers=2, bidirectional=True), ids=lambda problem: problem.id)
def test_layer_agreement_notices_each_parameter(problem: Problem, run: Runner) -> None:
    """Negative control: a reference whose parameter is off by one part in a million is not agreed with."""
    theirs, ours = build_pair(problem)
    actual = evaluate(ours, problem, run)
    for parameter in theirs.parameters():
        before = parameter.detach().clone()
        with torch.no_grad():
            parameter.mul_(1 + 1e-6)
        assert_fails(assert_same, actual, evaluate(theirs, problem, reference))
        with torch.no_grad():
            parameter.copy_(before)
    assert_same(actual, evaluate(theirs, problem, reference))


@each_runner
@each_problem
def test_layer_float32_is_as_close_to_truth_as_torch(problem: Problem, run: Runner) -> None:
    problem = without_dropout(problem)  # float64 draws other masks than float32
    truth, their_results = by_torch(problem, torch.float64), by_torch(problem, torch.float32)
    our_results = evaluate(build_layer(problem, dtype=torch.float32), problem, run)
    for name, value in truth.items():
        quantity = "gradient" if name.startswith("grad") else "output"
        tolerance = TOLERANCES[torch.float32, quantity]
        assert our_results[name].dtype == torch.float32
        error, their_error = (scale_free_error(results[name], value) for results in (our_results, their_results))
        assert error <= tolerance, f"{name}: {error:.3g} off the float64 result; torch.nn is {their_error:.3g} off"
        assert error <= 4 * their_error + 4e-7, (
            f"{name}: {error:.3g} off the float64 result; torch.nn {their_error:.3g}"
        )
        assert scale_free_error(spoilt(our_results[name]), value) > tolerance


def test_layer_problems_have_unique_names() -> None:
    assert len({problem.id for problem in PROBLEMS}) == len(PROBLEMS)


@pytest.mark.parametrize("problem", one_of_each(), ids=lambda problem: problem.id)
def test_layer_path_names_what_the_last_call_took(problem: Problem) -> None:
    layer = build_layer(problem)
    assert layer.path is None
    evaluate(layer, problem, by_forward)
    is_native = _native.cpu_level() != "none"
    assert layer.path == ("native" if is_native else "torch")
    evaluate(layer, problem, by_trace)
    assert layer.path == ("native" if is_native else "composite")  # torch's kernels return no gates
