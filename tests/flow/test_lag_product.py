"""Lag products against products in 200 digits, against known cells, and of layers against their own Jacobians."""

from __future__ import annotations

import math

import mpmath
import pytest
import torch
from dynamical_systems import orthogonal
from torch import Tensor

import gatewise as gw
from problems import (
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

F64 = torch.float64
from_jacobians = gw.flow.lag_product_from_jacobians


def assert_logs(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """Fail unless all logs lie within `tolerance`, infinities and NaN in place; notice one off by ten tolerances."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance, equal_nan=True)
    moved = expected.clone()
    finite = moved.isfinite().nonzero()[-1]
    moved[tuple(finite)] += 10 * tolerance
    with pytest.raises(AssertionError):
        torch.testing.assert_close(actual, moved, rtol=0, atol=tolerance, equal_nan=True)


def in_200_digits(jacobians: Tensor, lag: int) -> Tensor:
    """Return the log singular values of the last `lag` Jacobians' product."""
    with mpmath.workdps(200):
        product = mpmath.eye(jacobians.shape[-1])
        for jacobian in jacobians[len(jacobians) - lag :]:
            product = mpmath.matrix(jacobian.tolist()) * product
        sigma = mpmath.svd_r(product, compute_uv=False)
        return torch.tensor(sorted((float(mpmath.log(s)) for s in sigma), reverse=True), dtype=F64)


# ---- stacks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "seed"), [(2, 0), (4, 1), (7, 2)])
def test_product_has_the_singular_values_of_exact_arithmetic(size: int, seed: int) -> None:
    """For sizes 4 and 7 the largest and smallest of the longest product differ by more than e^50.

    Sweeps lose next to nothing; an SVD of the product loses its condition number, below 1e12 times eps.
    """
    jacobians = random((60, size, size), seed)
    lags = [1, 2, 5, 12, 30, 60]
    measured = from_jacobians(jacobians, lags).log_singular_values
    for lag, row in zip(lags, measured, strict=True):
        exact = in_200_digits(jacobians, lag)
        by_svd = exact[0] - exact[-1] < math.log(1e12)
        assert_logs(row, exact, 1e-3 if by_svd else 1e-11)
        assert_logs(row[:1], exact[:1], 1e-12)
    assert size == 2 or exact[0] - exact[-1] > 50
    naive = torch.linalg.svdvals(torch.linalg.multi_dot([*jacobians.flip(0)])).log()
    assert not torch.allclose(naive, exact, rtol=0, atol=1)  # what float64 makes of the product itself
    swept = jacobians.new_zeros(size)
    basis = torch.eye(size, dtype=F64)
    for jacobian in jacobians:
        basis, r = torch.linalg.qr(jacobian @ basis)
        swept += r.diagonal().abs().log()
    assert not torch.allclose(swept.sort(descending=True).values, exact, rtol=0, atol=1e-2)  # nor one QR sweep


@pytest.mark.parametrize("spread", [0.0, 1e-9, 1e-3, 0.05])
def test_close_singular_values_are_told_apart(spread: float) -> None:
    """Neighbours that differ by 1e-9 over a product would take 1e9 sweeps to part; blocks of them go to an SVD."""
    logs = torch.tensor([0.0, -spread, -2 * spread, -0.6, -0.6 - spread], dtype=F64)
    jacobians = torch.stack([orthogonal(5, k + 1) @ logs.exp().diag() @ orthogonal(5, k).mT for k in range(60)])
    assert_logs(from_jacobians(jacobians, [60]).log_singular_values[0], 60 * logs, 1e-12 if spread else 1e-11)


@pytest.mark.parametrize("rho", [1e-3, 1.0, 2.0])
def test_scaled_orthogonal_product_has_k_log_rho(rho: float) -> None:
    jacobians = torch.stack([rho * orthogonal(6, seed) for seed in range(40)]).repeat(20, 1, 1)
    lags = [0, 1, 3, 800]  # 1e-2400: far below what float64 holds
    expected = torch.tensor(lags, dtype=F64)[:, None] * math.log(rho) * torch.ones(6, dtype=F64)
    assert_logs(from_jacobians(jacobians, lags).log_singular_values, expected, 1e-11)


def test_products_are_returned_where_asked_for() -> None:
    jacobians = random((9, 4, 4), 5)
    measured = from_jacobians(jacobians, [5, 0, 2, 11, 2], return_matrix=True)
    assert measured.lags.tolist() == [0, 2, 5, 11]
    expected = [torch.eye(4, dtype=F64), jacobians[8] @ jacobians[7]]
    expected.append(torch.linalg.multi_dot([*jacobians[4:].flip(0)]))
    torch.testing.assert_close(measured.matrices[:3], torch.stack(expected), rtol=1e-13, atol=1e-13)
    with pytest.raises(AssertionError):  # the other order of the factors
        torch.testing.assert_close(measured.matrices[1], jacobians[7] @ jacobians[8], rtol=1e-13, atol=1e-13)
    assert measured.matrices[3].isnan().all()
    assert measured.log_singular_values[3].isnan().all()
    assert from_jacobians(jacobians, [2]).matrices is None
    growing = torch.tensor([[1e50, 0.0], [0.0, 1e40]], dtype=F64).expand(9, 2, 2)
    huge = from_jacobians(growing, [1, 9], return_matrix=True)
    assert not huge.matrices[1].isfinite().all()
    assert_logs(huge.log_singular_values[1], torch.tensor([450, 360], dtype=F64) * math.log(10), 1e-10)


# ---- when does a gradient vanish? -----------------------------------------------------------------------------------


def test_largest_singular_value_below_one_is_sufficient() -> None:
    """tanh: |P(k)| <= sigma_max(W_hh)^k whatever the inputs; a W_hh above one need not keep to any such bound."""
    problem = Problem("RNN", num_steps=40, hidden_size=8)
    layer = build_layer(problem)
    lags = [1, 5, 20, 40]
    for sigma_max, vanishes in ((0.9, True), (3.0, False)):
        with torch.no_grad():
            layer.weight_hh_l0 *= sigma_max / torch.linalg.matrix_norm(layer.weight_hh_l0, 2)
        largest = gw.flow.lag_product(layer.trace(0.1 * padded_inputs(problem)), lags).log_singular_values[0, ..., 0]
        bound = torch.tensor(lags, dtype=F64)[:, None] * math.log(0.9)
        assert bool((largest <= bound + 1e-12).all()) == vanishes


def test_singular_value_above_one_does_not_make_it_explode() -> None:
    """Linear and non-normal: spectral radius .8 wins in the end, sigma_max 3.2 lets it grow sixfold before."""
    weights = torch.tensor([[0.8, 3.0], [0.0, 0.8]], dtype=F64)
    assert torch.linalg.matrix_norm(weights, 2) > 3
    lags = [1, 4, 100]
    logs = from_jacobians(weights.expand(100, 2, 2), lags).log_singular_values
    # W^k = .8^k [[1, a], [0, 1]] with a = k 3/.8; such a shear has the singular values e^(+-asinh(a/2)).
    shear = torch.tensor([math.asinh(k * 3 / 0.8 / 2) for k in lags], dtype=F64)
    decay = torch.tensor([k * math.log(0.8) for k in lags], dtype=F64)
    assert_logs(logs, torch.stack([decay + shear, decay - shear], dim=1), 1e-10)
    with pytest.raises(AssertionError):  # what the spectral radius alone would say
        torch.testing.assert_close(logs[:, 0], decay, rtol=0, atol=1)
    assert logs[0, 0] > 1
    assert logs[1, 0] > logs[0, 0]
    assert logs[2, 0] < -15


def test_spectral_radius_below_one_does_not_make_it_vanish() -> None:
    """W has spectral radius 0 and even W^2 = 0, yet between slopes diag(1, .05) its products grow by 1.9 a step."""
    weights = torch.tensor([[2.0, -4.0], [1.0, -2.0]], dtype=F64)
    assert (weights @ weights == 0).all()
    jacobian = torch.tensor([1.0, 0.05], dtype=F64).diag() @ weights
    largest = from_jacobians(jacobian.expand(50, 2, 2), [49, 50]).log_singular_values[:, 0]
    assert (largest[1] - largest[0]).item() == pytest.approx(math.log(1.9), abs=1e-12)
    assert (largest[1] - largest[0]).item() != pytest.approx(math.log(1.9 * (1 + 1e-9)), abs=1e-12)


# ---- known cells ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_steps", [4, 300])
def test_lstm_without_recurrent_weights(num_steps: int) -> None:
    """H log singular values: sum ln f + 1/2 ln(1 + (o_T (1 - tanh^2 c_T))^2), the rest exactly lost."""
    problem = Problem("LSTM", num_steps=num_steps)
    layer = build_layer(problem)
    with torch.no_grad():
        layer.weight_hh_l0.zero_()
    trace = layer.trace(padded_inputs(problem)).detach()
    lags = [1, num_steps // 2, num_steps]
    measured = gw.flow.lag_product(trace, lags).log_singular_values
    slope = trace.gates["output_gate"][0, -1] * (1 - trace.cell[0, -1].tanh() ** 2)
    for k, lag in enumerate(lags):
        kept = trace.gates["forget_gate"][0, num_steps - lag :].log().sum(dim=0)
        expected = (kept + 0.5 * torch.log1p(slope**2)).sort(descending=True).values
        lost = torch.full_like(expected, -math.inf)
        assert_logs(measured[0, k], torch.cat([expected, lost], dim=-1), 1e-11)


def test_irnn_at_initialisation_has_singular_values_zero_and_one() -> None:
    """W_hh = I, ReLU: a direction is kept exactly while its unit is on, and lost exactly the first time it is off."""
    problem = Problem("RNN", num_steps=6, num_sequences=4, hidden_size=7, nonlinearity="relu")
    layer = build_layer(problem)
    with torch.no_grad():
        torch.nn.init.eye_(layer.weight_hh_l0)
    trace = layer.trace(padded_inputs(problem)).detach()
    lags = [1, 2, 4, 6]
    measured = gw.flow.lag_product(trace, lags).log_singular_values
    assert set(measured.flatten().tolist()) == {0.0, -math.inf}
    for k, lag in enumerate(lags):
        num_on = (trace.hidden[0, 6 - lag :] > 0).all(dim=0).sum(dim=-1)
        assert torch.equal((measured[0, k] == 0).sum(dim=-1), num_on)
    assert len(set((measured == 0).sum(dim=-1).flatten().tolist())) > 1  # and it is not always the same number
    with torch.no_grad():
        layer.weight_hh_l0 *= 0.5
    halved = gw.flow.lag_product(layer.trace(padded_inputs(problem)), lags).log_singular_values
    assert set(halved.flatten().tolist()) != {0.0, -math.inf}


def test_what_float64_cannot_tell_is_nan() -> None:
    """Rank 1 without a zero entry: rounding leaves 1e-16 where the truth is 0, and no number may come of it."""
    column = torch.tensor([[1.0], [2.0], [3.0]], dtype=F64)
    measured = from_jacobians((column @ column.T / 14).expand(8, 3, 3), [1, 8]).log_singular_values
    assert_logs(measured, torch.tensor([[0.0, math.nan, math.nan]] * 2, dtype=F64), 1e-14)
    turn, corner = orthogonal(3, 1), torch.zeros(3, 3, dtype=F64)
    corner[0, 1] = 3
    nilpotent = turn @ corner @ turn.mT
    assert (nilpotent @ nilpotent).abs().max() > 0  # truly 0, and 1e-16 is what comes out
    measured = from_jacobians(nilpotent.expand(8, 3, 3), [1, 2, 8]).log_singular_values
    assert_logs(measured[0, :1], torch.tensor([math.log(3)], dtype=F64), 1e-14)
    assert measured[1:].isnan().all()
    assert from_jacobians(torch.zeros(4, 3, 3), [1, 4]).log_singular_values.tolist() == [[-math.inf] * 3] * 2


# ---- layers ---------------------------------------------------------------------------------------------------------

LAYERS = [
    *one_of_each(num_steps=25, num_layers=2, bidirectional=True),
    *one_of_each(num_steps=25, num_sequences=4, lengths=(25, 3, 0, 17), bidirectional=True, num_layers=2),
    *one_of_each(is_batched=False, num_sequences=1, bias=False),
    Problem("LSTM", num_steps=25, proj_size=3, bidirectional=True, batch_first=True),
    Problem("GRU", num_steps=1, hidden_size=1),
]


@pytest.mark.parametrize("problem", LAYERS, ids=lambda problem: problem.id)
@pytest.mark.parametrize("end", [-1, 0, 16])
def test_product_of_a_layer_is_that_of_its_step_jacobians(problem: Problem, end: int) -> None:
    if end >= problem.num_steps:
        end = problem.num_steps - 1
    inputs, states = as_input(problem, padded_inputs(problem)), as_hx(problem, initial_states(problem))
    trace = build_layer(problem).trace(inputs, states, as_lengths(problem))
    lags = [0, 1, 3, 9, 25]
    measured = gw.flow.lag_product(trace, lags, end).log_singular_values
    jacobians = gw.flow.step_jacobians(trace)
    expected = torch.full_like(measured, math.nan)
    lengths = problem.lengths or (problem.num_steps,) * problem.num_sequences
    for row in range(problem.num_rows):
        for n, length in enumerate(lengths):
            if row % problem.num_directions == 0:
                last = length - 1 if end == -1 else end
                stack = jacobians[row, : last + 1, n]
            else:
                last = 0 if end == -1 else end
                stack = jacobians[row, last:length, n].flip(0)
            if last < length and len(stack):
                expected[row, :, n] = from_jacobians(stack, lags).log_singular_values
    torch.testing.assert_close(measured, expected, rtol=0, atol=1e-9, equal_nan=True)
    if problem.nonlinearity == "tanh":
        with pytest.raises(AssertionError):
            torch.testing.assert_close(measured, expected * (1 + 1e-6), rtol=0, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_measuring_works_everywhere_and_leaves_everything(mode: type) -> None:
    problem = Problem("LSTM", num_steps=30)
    layer = build_layer(problem, dtype=torch.float32)
    expected = gw.flow.lag_product(layer.trace(padded_inputs(problem, torch.float32)), [3, 30])
    state = torch.get_rng_state()
    with mode():
        measured = gw.flow.lag_product(layer.eval().trace(padded_inputs(problem, torch.float32)), [3, 30])
    assert torch.equal(state, torch.get_rng_state())
    assert measured.log_singular_values.dtype == F64
    assert torch.equal(measured.log_singular_values, expected.log_singular_values)
    assert all(parameter.grad is None for parameter in layer.parameters())


def test_wrong_arguments_are_named() -> None:
    problem = Problem("GRU")
    layer = build_layer(problem)
    trace = layer.trace(padded_inputs(problem))
    with pytest.raises(ValueError, match="lags must name at least one lag, got none"):
        gw.flow.lag_product(trace, [])
    with pytest.raises(ValueError, match="lags must not be negative, got -2"):
        gw.flow.lag_product(trace, [3, -2])
    for end in (7, -2):
        with pytest.raises(ValueError, match="end must be -1 or a position from 0 to 6"):
            gw.flow.lag_product(trace, [1], end)
    with pytest.raises(ValueError, match="jacobians must be real and have shape"):
        from_jacobians(torch.zeros(2, 3, 4), [1])
    with pytest.raises(TypeError, match=r"lags must be a whole number, got 1\.5"):
        gw.flow.lag_product(trace, [1.5])
    with pytest.raises(TypeError, match=r"end must be a whole number, got 2\.5"):
        gw.flow.lag_product(trace, [1], 2.5)
    with pytest.raises(TypeError, match=r"trace must be a gatewise\.nn\.Trace, as .* returns, got GRU"):
        gw.flow.lag_product(layer, [1])
    with pytest.raises(ValueError, match="at least one sequence, got none"):
        gw.flow.lag_product(layer.trace(padded_inputs(problem)[:, :0]), [1])
    with torch.no_grad():
        layer.weight_hh_l0[1, 2] = math.nan
    with pytest.raises(ValueError, match="sequence 0: the step Jacobian 0 steps before the end is not finite"):
        gw.flow.lag_product(layer.trace(padded_inputs(problem)), [1])
