"""The closed-form step Jacobian against autograd through the float64 step, over single steps and whole traces."""

from __future__ import annotations

import pytest
import torch
from cell_cases import CASES, PLAIN, Case, H
from torch import Tensor

from gatewise import cells
from problems import random
from tolerances import assert_close, assert_fails, spoilt

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)


def closed_form(case: Case, x: Tensor, previous: cells.State, weights: cells.Weights) -> Tensor:
    """Return what the cell says about the step from `previous`."""
    state, gates = case.equations.step(case.equations.project_input(x, weights), previous, weights)
    return case.equations.step_jacobian(previous, state, gates, weights)


def by_autograd(case: Case, x: Tensor, previous: cells.State, weights: cells.Weights) -> Tensor:
    """Return ds_t/ds_{t-1} (S, S) of one sequence, s = h or [h; c]."""

    def step(s: Tensor) -> Tensor:
        before = cells.State(s[: case.state_size], s[case.state_size :] if case.name == "LSTM" else None)
        state, _ = case.equations.step(case.equations.project_input(x, weights), before, weights)
        return state.hidden if state.cell is None else torch.cat([state.hidden, state.cell])

    s = previous.hidden if previous.cell is None else torch.cat([previous.hidden, previous.cell])
    return torch.func.jacrev(step)(s)


@each_case
def test_step_jacobian_equals_autograd(case: Case) -> None:
    weights, x, previous = case.weights(), case.inputs(3), case.state(3)
    actual = closed_form(case, x, previous, weights)
    size = case.state_size + (H if case.name == "LSTM" else 0)
    assert actual.shape == (3, size, size)
    for n in range(3):
        expected = by_autograd(case, x[n], previous.map(lambda state, n=n: state[n]), weights)
        assert_close(actual[n], expected, "jacobian")
        assert_fails(assert_close, actual[n], spoilt(expected), "jacobian")
        assert_fails(assert_close, actual[n], expected.mT, "jacobian")


@each_case
def test_step_jacobian_takes_a_whole_trace_at_once(case: Case) -> None:
    weights, x, previous = case.weights(), case.inputs(4, 3), case.state(4, 3)
    whole = closed_form(case, x, previous, weights)
    for t in range(4):
        for n in range(3):
            expected = by_autograd(case, x[t, n], previous.map(lambda state, t=t, n=n: state[t, n]), weights)
            assert_close(whole[t, n], expected, "jacobian")
            assert_fails(assert_close, whole[t, n], spoilt(expected), "jacobian")
    alone = closed_form(case, x[0, 0], previous.map(lambda state: state[0, 0]), weights)
    assert_close(alone, whole[0, 0], "jacobian")


@pytest.mark.parametrize("case", [case for case in CASES if case.bias], ids=lambda case: case.id)
def test_step_jacobian_notices_each_weight(case: Case) -> None:
    """Negative control: with other recurrent weights, or a state of another step, autograd does not agree."""
    weights, x, previous = case.weights(), case.inputs(), case.state()
    actual = closed_form(case, x, previous, weights)
    is_piecewise_constant = case.name == "relu-RNN"  # only W_hh itself shows in its Jacobian
    for name in ("input", "recurrent", "input_bias", "recurrent_bias", "projection"):
        value = getattr(weights, name)
        if value is not None and (name == "recurrent" or not is_piecewise_constant):
            changed = cells.Weights(**{**vars(weights), name: value * (1 + 1e-6)})
            assert_fails(assert_close, actual, by_autograd(case, x, previous, changed), "jacobian")
    if not is_piecewise_constant:
        moved = previous.map(lambda state: state + 1e-6)
        assert_fails(assert_close, actual, by_autograd(case, x, moved, weights), "jacobian")


@each_case
def test_step_jacobian_is_differentiable(case: Case) -> None:
    """The Jacobian is a function of the state: its gradient reaches h_{t-1} as that of autograd's Jacobian does."""
    weights, x = case.weights(), case.inputs()
    gradients = []
    for jacobian in (closed_form, by_autograd):
        previous = case.state().map(Tensor.requires_grad_)
        scalar = (jacobian(case, x, previous, weights) ** 2).sum()
        if not scalar.requires_grad:  # relu: the Jacobian does not depend on the state
            assert case.name == "relu-RNN"
            return
        (gradient,) = torch.autograd.grad(scalar, previous.hidden, materialize_grads=True)
        gradients.append(gradient)
    assert_close(gradients[0], gradients[1], "jacobian")
    if case.name != "relu-RNN":
        assert_fails(assert_close, gradients[0], spoilt(gradients[1]), "jacobian")


def test_irnn_jacobian_has_singular_values_zero_and_one() -> None:
    """IRNN: W_hh = I with relu: every singular value is exactly 0 or 1."""
    case = PLAIN[1]
    weights = cells.Weights(case.weights().input, torch.eye(H, dtype=torch.float64))
    jacobian = closed_form(case, case.inputs(6), case.state(6), weights)
    singular_values = torch.linalg.svdvals(jacobian)
    assert set(singular_values.flatten().tolist()) == {0.0, 1.0}
    halved = cells.Weights(weights.input, 0.5 * weights.recurrent)
    spoilt_values = torch.linalg.svdvals(closed_form(case, case.inputs(6), case.state(6), halved))
    assert set(spoilt_values.flatten().tolist()) != {0.0, 1.0}


def test_lstm_output_slope_is_the_path_from_cell_to_hidden() -> None:
    """dh_t/dc_t of the same step, before any projection: what takes the total cell gradient to the adjoint."""
    case = PLAIN[2]
    weights, x, previous = case.weights(), case.inputs(3), case.state(3)
    state, gates = case.equations.step(case.equations.project_input(x, weights), previous, weights)
    c = state.cell.clone().requires_grad_()
    (expected,) = torch.autograd.grad((gates["output_gate"] * torch.tanh(c)).sum(), c)
    assert_close(case.equations.output_slope(state, gates), expected, "jacobian")
    assert_fails(assert_close, case.equations.output_slope(state, gates), spoilt(expected), "jacobian")


@each_case
def test_step_jacobian_keeps_the_dtype(case: Case) -> None:
    dtype = torch.float32
    jacobian = closed_form(case, case.inputs(3, dtype=dtype), case.state(3, dtype=dtype), case.weights(dtype))
    assert jacobian.dtype == dtype


@each_case
def test_step_derivative_times_vectors_is_the_matrix_product(case: Case) -> None:
    weights, x, previous = case.weights(), case.inputs(4, 3), case.state(4, 3)
    state, gates = case.equations.step(case.equations.project_input(x, weights), previous, weights)
    derivative = case.equations.step_derivative(previous, state, gates, weights)
    vectors = random((4, 3, derivative.state_size, 2), 9)
    expected = derivative.matrix() @ vectors
    assert_close(derivative.times(vectors), expected, "jacobian")
    assert_fails(assert_close, derivative.times(vectors), spoilt(expected), "jacobian")
    assert_close(derivative[2].times(vectors[2]), expected[2], "jacobian")
    norms = torch.linalg.matrix_norm(derivative.matrix())
    assert (derivative.norm() >= norms * (1 - 1e-12)).all()
    assert (derivative.norm() <= 3 * norms).all()


def test_relu_jacobian_of_a_broken_state_is_no_number() -> None:
    """NaN > 0 is false: the slope must not come out as 0, which would read as a gradient that vanished."""
    case = PLAIN[1]
    state = cells.State(torch.tensor([float("nan"), -1.0, 2.0, 0.0, 1.0]).double().relu())
    jacobian = case.equations.step_jacobian(case.state(), state, {}, case.weights())
    assert jacobian[0].isnan().all()
    assert (jacobian[[1, 3]] == 0).all()
    assert (jacobian[[2, 4]] != 0).all()
