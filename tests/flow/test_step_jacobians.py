"""step_jacobians against torch.func.jacrev of each step, for all cells and options, and autograd through time."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import gatewise as gw
from gatewise.cells import State
from problems import (
    PROBLEMS,
    Problem,
    as_hx,
    as_input,
    as_lengths,
    build_layer,
    initial_states,
    one_of_each,
    padded_inputs,
    random,
)
from tolerances import assert_bit_equal, assert_close, assert_fails, spoilt

# With dropout the trace does not say what the upper layers read; the Jacobians know nothing of it either.
each_problem = pytest.mark.parametrize(
    "problem", [p for p in PROBLEMS if not p.dropout], ids=lambda problem: problem.id
)
RAGGED = one_of_each(num_sequences=4, lengths=(3, 7, 0, 1), bidirectional=True, num_layers=2)


def trace_of(problem: Problem, dtype: torch.dtype = torch.float64) -> gw.nn.Trace:
    states = initial_states(problem, dtype)
    arguments = as_input(problem, padded_inputs(problem, dtype)), as_hx(problem, states), as_lengths(problem)
    return build_layer(problem, dtype=dtype).trace(*arguments)


def layer_input(problem: Problem, trace: gw.nn.Trace, row: int) -> Tensor:
    """Return what row `row` of the L*D axis read (T, N, I), for a layer without dropout."""
    layer = row // problem.num_directions
    if layer == 0:
        return padded_inputs(problem)
    first = (layer - 1) * problem.num_directions
    return torch.cat(list(trace.hidden[first : first + problem.num_directions]), dim=-1)


def by_jacrev(problem: Problem, trace: gw.nn.Trace, row: int) -> Tensor:
    """Return ds_t/ds_{t-1} (T, N, S, S) by differentiating one step after the other, NaN past the end."""
    weights, size = trace.weights(row).map(Tensor.detach), problem.state_size
    inputs, is_lstm = layer_input(problem, trace, row).detach(), problem.cell == "LSTM"
    part = trace.detach().layer(row // problem.num_directions, "reverse" if row % problem.num_directions else "forward")
    states = part.hidden if part.cell is None else torch.cat([part.hidden, part.cell], dim=-1)
    initial = part.h_0 if part.c_0 is None else torch.cat([part.h_0, part.c_0], dim=-1)

    def step(s: Tensor, x: Tensor) -> Tensor:
        previous = State(s[:size], s[size:] if is_lstm else None)
        state, _ = trace.equations.step(trace.equations.project_input(x, weights), previous, weights)
        return state.hidden if state.cell is None else torch.cat([state.hidden, state.cell])

    expected = torch.full((*states.shape, states.shape[-1]), math.nan, dtype=torch.float64)
    lengths = problem.lengths or (problem.num_steps,) * problem.num_sequences
    for n, length in enumerate(lengths):
        for t in range(length):
            before = t + 1 if part.is_reverse else t - 1
            previous = states[before, n] if 0 <= before < length else initial[n]
            expected[t, n] = torch.func.jacrev(step)(previous, inputs[t, n])
    return expected


@each_problem
def test_step_jacobians_equal_jacrev_of_each_step(problem: Problem) -> None:
    trace = trace_of(problem)
    actual = gw.flow.step_jacobians(trace)
    assert actual.dtype == torch.float64
    for row in range(problem.num_rows):
        expected = by_jacrev(problem, trace, row)
        assert_close(actual[row], expected, "jacobian")
        if expected.isfinite().any():
            assert_fails(assert_close, actual[row], spoilt_somewhere(expected), "jacobian")


def spoilt_somewhere(expected: Tensor) -> Tensor:
    """Return `expected` with one finite entry moved."""
    changed = expected.clone()
    changed[expected.isfinite()] = spoilt(expected[expected.isfinite()])
    return changed


@pytest.mark.parametrize("problem", [*one_of_each(), Problem("LSTM", proj_size=3)], ids=lambda problem: problem.id)
def test_step_jacobians_carry_the_gradient_back(problem: Problem) -> None:
    """v^T J_T ... J_1 is what autograd finds for v^T s_T through the unrolled steps, at every s_t on the way."""
    layer, x = build_layer(problem), padded_inputs(problem)
    trace = layer.trace(x, as_hx(problem, initial_states(problem)))
    equations, weights = trace.equations, trace.weights(0)
    state = State(trace.h_0[0], None if trace.c_0 is None else trace.c_0[0])
    joined = []
    for t in range(problem.num_steps):
        s = state.hidden if state.cell is None else torch.cat([state.hidden, state.cell], dim=-1)
        joined.append(s.detach().requires_grad_() if t == 0 else s)
        size = problem.state_size
        previous = State(joined[t][:, :size], joined[t][:, size:] if problem.cell == "LSTM" else None)
        state, _ = equations.step(equations.project_input(x[t], weights), previous, weights)
    last = state.hidden if state.cell is None else torch.cat([state.hidden, state.cell], dim=-1)
    v = random(tuple(last.shape), 11)
    expected = torch.autograd.grad((v * last).sum(), joined)
    jacobians = gw.flow.step_jacobians(trace)[0]
    adjoint = v
    for t in reversed(range(problem.num_steps)):
        adjoint = torch.einsum("ns,nsq->nq", adjoint, jacobians[t])
        assert_close(adjoint, expected[t], "gradient")
        assert_fails(assert_close, adjoint, spoilt(expected[t]), "gradient")


@pytest.mark.parametrize("problem", RAGGED, ids=lambda problem: problem.id)
def test_step_jacobians_choose_steps_and_sequences(problem: Problem) -> None:
    trace = trace_of(problem)
    whole = gw.flow.step_jacobians(trace)
    steps, sequences = [5, 0, 2], [3, 1]
    chosen = gw.flow.step_jacobians(trace, steps, sequences)
    assert_bit_equal(chosen, whole[:, steps][:, :, sequences])
    assert_fails(assert_bit_equal, chosen, whole[:, sorted(steps)][:, :, sequences])
    assert gw.flow.step_jacobians(trace, [], sequences).shape == (4, 0, 2, *whole.shape[-2:])
    past_end = ~trace.valid()
    assert whole[:, past_end].isnan().all()
    assert whole[:, ~past_end].isfinite().all()


@pytest.mark.parametrize("problem", [*RAGGED, Problem("LSTM", proj_size=3)], ids=lambda problem: problem.id)
def test_step_jacobians_write_into_out(problem: Problem) -> None:
    trace = trace_of(problem)
    expected = gw.flow.step_jacobians(trace)
    out = torch.full_like(expected, math.pi)  # whatever was there must be gone
    assert gw.flow.step_jacobians(trace, out=out) is out
    assert_bit_equal(out, expected)
    assert_fails(assert_bit_equal, torch.full_like(expected, math.pi), expected)


@pytest.mark.parametrize("problem", one_of_each(num_layers=2, bidirectional=True), ids=lambda problem: problem.id)
def test_step_jacobians_of_a_float32_layer_are_float64(problem: Problem) -> None:
    """The states are rounded to 6e-8, the formulas are not: nothing comes out worse than they went in."""
    exact, rounded = (gw.flow.step_jacobians(trace_of(problem, dtype)) for dtype in (torch.float64, torch.float32))
    assert rounded.dtype == torch.float64
    torch.testing.assert_close(rounded, exact, rtol=0, atol=2e-6)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(rounded, exact + 1e-5, rtol=0, atol=2e-6)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_step_jacobians_are_apart_from_any_graph(mode: type) -> None:
    problem = Problem("GRU")
    layer = build_layer(problem)
    expected = gw.flow.step_jacobians(layer.trace(padded_inputs(problem)))
    before = torch.get_rng_state()
    with mode():
        actual = gw.flow.step_jacobians(layer.eval().trace(padded_inputs(problem)))
    assert not actual.requires_grad
    assert torch.equal(before, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in layer.parameters())
    assert_bit_equal(actual.clone(), expected)


@pytest.mark.parametrize("problem", one_of_each(), ids=lambda problem: problem.id)
def test_step_jacobians_show_a_nan_weight(problem: Problem) -> None:
    layer = build_layer(problem)
    with torch.no_grad():
        layer.weight_hh_l0[1, 2] = math.nan
    jacobians = gw.flow.step_jacobians(layer.trace(padded_inputs(problem)))
    assert jacobians.isnan().flatten(3).any(dim=-1).all()


def test_step_jacobians_refuse_what_does_not_fit() -> None:
    problem = Problem("GRU")
    layer = build_layer(problem)
    trace = layer.trace(padded_inputs(problem))
    shape = (1, 7, 3, 5, 5)
    for steps in ([7], [-1]):
        with pytest.raises(IndexError, match="steps must be positions from 0 to 6"):
            gw.flow.step_jacobians(trace, steps)
    with pytest.raises(TypeError, match=r"steps must be a whole number, got 1\.5"):
        gw.flow.step_jacobians(trace, [1.5])
    with pytest.raises(TypeError, match=r"trace must be a gatewise\.nn\.Trace"):
        gw.flow.step_jacobians(layer)
    with pytest.raises(IndexError, match="sequences must be positions from 0 to 2, got 3"):
        gw.flow.step_jacobians(trace, None, [3])
    for out in (
        torch.empty(shape),
        torch.empty(1, 7, 3, 5, 6).double(),
        torch.empty(shape).double().transpose(3, 4),
        torch.empty(1, 7, 3, 10, 5).double()[..., ::2, :],
    ):
        with pytest.raises(ValueError, match="out must be a contiguous float64 tensor"):
            gw.flow.step_jacobians(trace, out=out)
    with pytest.raises(ValueError, match="out must not require grad"):
        gw.flow.step_jacobians(trace, out=torch.empty(shape, dtype=torch.float64, requires_grad=True))
    with torch.no_grad():
        layer.weight_hh_l0 += 1
    with pytest.raises(RuntimeError, match="changed after this trace"):
        gw.flow.step_jacobians(trace)
