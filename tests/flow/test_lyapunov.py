"""Lyapunov exponents against systems whose exponents are known, and of layers against their own Jacobians."""

from __future__ import annotations

import math

import pytest
import torch
from dynamical_systems import lorenz_jacobians, orthogonal, tanh_map
from torch import Tensor, nn

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
from_jacobians = gw.flow.lyapunov_from_jacobians


def assert_within(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """Fail unless every exponent lies within `tolerance`, and notice one that is off by ten tolerances."""
    torch.testing.assert_close(actual, expected.to(F64), rtol=0, atol=tolerance)
    moved = expected.to(F64).clone()
    moved[-1] += 10 * tolerance
    with pytest.raises(AssertionError):
        torch.testing.assert_close(actual, moved, rtol=0, atol=tolerance)


def log_moduli(matrix: Tensor) -> Tensor:
    return torch.linalg.eigvals(matrix).abs().log().sort(descending=True).values


# ---- known answers --------------------------------------------------------------------------------------------------


def test_constant_jacobian_has_log_moduli_of_its_eigenvalues() -> None:
    """Real eigenvalues: the vectors settle like (.9/1.1)^t, so that after 150 steps only rounding is left."""
    basis = random((5, 5), 3)
    eigenvalues = torch.tensor([1.5, 1.1, -0.9, 0.5, -0.1], dtype=F64)
    matrix = basis @ eigenvalues.diag() @ basis.inverse()
    spectrum = from_jacobians(matrix.expand(300, 5, 5), warm_up=150)
    assert_within(spectrum.exponents, eigenvalues.abs().log(), 1e-10)
    assert (spectrum.exponents - torch.linalg.svdvals(matrix).log()).abs().max() > 0.1  # they are no singular values


@pytest.mark.parametrize("seed", range(3))
def test_constant_jacobian_with_complex_eigenvalues(seed: int) -> None:
    """A complex pair turns its plane for ever: the mean over T steps is right to O(1/T), the sum of all at once."""
    matrix = random((6, 6), seed)
    spectrum = from_jacobians(matrix.expand(2000, 6, 6), warm_up=500)
    assert_within(spectrum.exponents.sort(descending=True).values, log_moduli(matrix), 2e-3)
    assert spectrum.exponents.sum().item() == pytest.approx(torch.linalg.slogdet(matrix).logabsdet.item(), abs=1e-11)


@pytest.mark.parametrize("rho", [0.5, 1.0, 1.1])
def test_scaled_orthogonal_jacobians_have_log_rho(rho: float) -> None:
    jacobians = torch.stack([rho * orthogonal(6, seed) for seed in range(30)])
    assert_within(from_jacobians(jacobians).exponents, torch.full((6,), math.log(rho), dtype=F64), 1e-14)


def by_tens(jacobians: Tensor) -> Tensor:
    """Return the products of ten Jacobians each, the latest leftmost: fewer steps of the same length in time."""
    groups = jacobians.unflatten(0, (-1, 10))
    product = groups[:, 0]
    for k in range(1, 10):
        product = groups[:, k] @ product
    return product


def test_lorenz_exponents_by_runge_kutta() -> None:
    """Over 600 time units the first two fluctuate by about .01; their sum, minus the trace, is right to RK4's error."""
    jacobians, by_euler = lorenz_jacobians(60_000)
    jacobians, by_euler = by_tens(jacobians), by_tens(by_euler)
    spectrum = from_jacobians(jacobians, warm_up=100)
    rates = spectrum.exponents / 0.1
    assert_within(rates, torch.tensor([0.9056, 0.0, -14.572]), 0.02)
    assert rates.sum().item() == pytest.approx(-13.667, abs=1e-3)
    assert spectrum.kaplan_yorke_dimension.item() == pytest.approx(2.062, abs=2e-3)
    too_coarse = from_jacobians(by_euler, warm_up=100).exponents / 0.1
    assert abs(too_coarse[0] - 0.9056) > 0.1
    assert abs(too_coarse.sum() + 13.667) > 0.1


def test_quiet_tanh_map_has_the_exponents_of_its_matrix() -> None:
    """With g = .6, zero input: h goes to 0, and J_t to that very J; ln g would need a large H."""
    layer = tanh_map(12, gain=0.6, seed=1)
    spectrum = gw.flow.lyapunov_spectrum(
        layer, torch.zeros(2500, 1, 1, dtype=F64), warm_up=500, hx=random((1, 1, 12), 2)
    )
    expected = log_moduli(layer.weight_hh_l0.detach())
    assert_within(spectrum.exponents[0].sort(descending=True).values, expected, 2e-3)
    total = torch.linalg.slogdet(layer.weight_hh_l0.detach()).logabsdet.item()
    assert spectrum.exponents.sum().item() == pytest.approx(total, abs=1e-10)
    assert abs(spectrum.exponents[0, 0] - math.log(0.6)) > 0.01
    assert spectrum.kaplan_yorke_dimension.item() == 0


@pytest.mark.parametrize("seed", range(5))
def test_loud_tanh_map_is_chaotic(seed: int) -> None:
    start, silence = random((1, 1, 100), seed), torch.zeros(400, 1, 1, dtype=F64)
    for gain, is_chaotic in ((3.0, True), (0.6, False)):
        spectrum = gw.flow.lyapunov_spectrum(tanh_map(100, gain, seed), silence, num_exponents=1, warm_up=100, hx=start)
        assert (0.2 < spectrum.exponents.item() < 0.4) == is_chaotic
        assert (spectrum.exponents.item() > 0) == is_chaotic


def test_nonlinear_example_shows_that_eigenvalues_of_the_weights_decide_nothing() -> None:
    """W has spectral radius 0, yet the constant Jacobian diag(1, .05) W grows by ln 1.9 a step."""
    weights = torch.tensor([[2.0, -4.0], [1.0, -2.0]], dtype=F64)
    assert torch.linalg.eigvals(weights).abs().max() < 1e-7
    jacobian = torch.tensor([1.0, 0.05], dtype=F64).diag() @ weights
    spectrum = from_jacobians(jacobian.expand(50, 2, 2), num_exponents=1, warm_up=2)
    assert_within(spectrum.exponents, torch.tensor([math.log(1.9)], dtype=F64), 1e-12)


# ---- layers ---------------------------------------------------------------------------------------------------------

LAYERS = [
    *one_of_each(num_steps=80, num_layers=2, bidirectional=True),
    *one_of_each(num_steps=70, num_sequences=4, lengths=(70, 3, 0, 65), num_layers=2, bidirectional=True),
    *one_of_each(num_steps=30, num_sequences=3, lengths=(30, 8, 30), is_packed=True, bias=False),
    *one_of_each(num_steps=20, num_sequences=1, is_batched=False),
    Problem("LSTM", num_steps=70, proj_size=3, num_layers=2, bidirectional=True, batch_first=True),
    Problem("GRU", num_steps=1),
    Problem("LSTM", hidden_size=1, num_steps=9),
]


def measured(problem: Problem, **options: object) -> gw.flow.LyapunovSpectrum:
    inputs, states = as_input(problem, padded_inputs(problem)), as_hx(problem, initial_states(problem))
    return gw.flow.lyapunov_spectrum(
        build_layer(problem), inputs, hx=states, lengths=as_lengths(problem), warm_up=0, **options
    )


def expected_exponents(problem: Problem, **options: object) -> Tensor:
    """Return what the layer's step Jacobians say (L*D, N, k), each sequence alone, NaN for an empty one."""
    inputs, states = as_input(problem, padded_inputs(problem)), as_hx(problem, initial_states(problem))
    jacobians = gw.flow.step_jacobians(build_layer(problem).trace(inputs, states, as_lengths(problem)))
    lengths = problem.lengths or (problem.num_steps,) * problem.num_sequences
    size = int(options.get("num_exponents") or jacobians.shape[-1])
    expected = torch.full((problem.num_rows, problem.num_sequences, size), math.nan, dtype=F64)
    for row in range(problem.num_rows):
        for n, length in enumerate(lengths):
            if length:
                stack = jacobians[row, :length, n]
                stack = stack.flip(0) if row % problem.num_directions else stack
                expected[row, n] = from_jacobians(stack, warm_up=0, **options).exponents
    return expected


@pytest.mark.parametrize("problem", LAYERS, ids=lambda problem: problem.id)
@pytest.mark.parametrize("options", [{}, {"num_exponents": 1}, {"qr_every": 3}], ids=str)
def test_spectrum_of_a_layer_is_that_of_its_step_jacobians(problem: Problem, options: dict[str, object]) -> None:
    if problem.nonlinearity == "relu" and options.get("qr_every"):
        options = {}  # which directions are lost exactly is only looked up at a QR
    # Between two QRs a direction that shrinks by 1e-9 against the first loses nine digits.
    tolerance = 1e-5 if options.get("qr_every") else 1e-8
    spectrum, expected = measured(problem, **options), expected_exponents(problem, **options)
    torch.testing.assert_close(spectrum.by_sequence, expected, rtol=0, atol=tolerance, equal_nan=True)
    mean = expected[:, ~expected.isnan().all(dim=-1).all(dim=0)].mean(dim=1)
    torch.testing.assert_close(spectrum.exponents, mean, rtol=0, atol=tolerance, equal_nan=True)
    torch.testing.assert_close(spectrum.convergence[:, -1], mean, rtol=0, atol=tolerance, equal_nan=True)
    if mean.isfinite().any():
        with pytest.raises(AssertionError):
            torch.testing.assert_close(spectrum.exponents, 1.001 * mean, rtol=0, atol=tolerance, equal_nan=True)


def test_convergence_is_the_running_mean() -> None:
    problem = Problem("GRU", num_steps=40)
    inputs = padded_inputs(problem)
    whole = gw.flow.lyapunov_spectrum(build_layer(problem), inputs, warm_up=10, qr_every=4)
    assert whole.steps.tolist() == [4, 8, 12, 16, 20, 24, 28, 30]
    for row, steps in ((0, 4), (4, 20)):
        shorter = gw.flow.lyapunov_spectrum(build_layer(problem), inputs[: 10 + steps], warm_up=10, qr_every=4)
        torch.testing.assert_close(whole.convergence[:, row], shorter.exponents, rtol=1e-12, atol=1e-12)
        with pytest.raises(AssertionError):
            torch.testing.assert_close(whole.convergence[:, row + 1], shorter.exponents, rtol=1e-12, atol=1e-12)


def test_leading_exponents_are_the_first_of_the_spectrum() -> None:
    problem = Problem("LSTM", num_steps=100, hidden_size=8)
    whole, leading = measured(problem), measured(problem, num_exponents=3)
    torch.testing.assert_close(leading.exponents, whole.exponents[:, :3], rtol=1e-10, atol=1e-10)
    assert leading.kaplan_yorke_dimension.item() == 0 or leading.kaplan_yorke_dimension.isnan().all()


# ---- directions that are lost ---------------------------------------------------------------------------------------


def test_lstm_without_recurrent_weights_keeps_the_forget_gates_and_loses_the_rest() -> None:
    problem = Problem("LSTM", num_steps=30)
    layer = build_layer(problem)
    with torch.no_grad():
        layer.weight_hh_l0.zero_()
    x = padded_inputs(problem)
    spectrum = gw.flow.lyapunov_spectrum(layer, x, warm_up=0)
    # s_T follows from c_T: H exponents whose sum is that of ln f, but for where the first and last step look from.
    total = layer.trace(x).gates["forget_gate"][0].detach().log().mean(dim=0).mean(dim=0).sum()
    assert (spectrum.exponents[0, 5:] == -math.inf).all()
    assert spectrum.exponents[0, :5].isfinite().all()
    assert spectrum.exponents[0, :5].sum().item() == pytest.approx(total.item(), abs=5 * math.log(10) / 30)


def test_relu_units_that_are_off_lose_their_directions() -> None:
    """Identity weights: a unit that is off at any step carries nothing, the others everything."""
    slopes = torch.ones(6, 4, dtype=F64)
    slopes[2, 0] = slopes[4, 3] = 0
    spectrum = from_jacobians(torch.diag_embed(slopes), warm_up=0)
    assert spectrum.exponents[2:].tolist() == [-math.inf, -math.inf]
    assert spectrum.exponents[:2].isfinite().all()
    assert from_jacobians(torch.zeros(5, 3, 3)).exponents.tolist() == [-math.inf] * 3


def test_what_float64_cannot_tell_is_nan() -> None:
    """Rank 1 without a zero entry: rounding leaves 1e-16 where the truth is 0, and no number may come of it."""
    column = torch.tensor([[1.0], [2.0], [3.0]], dtype=F64)
    spectrum = from_jacobians((column @ column.T / 14).expand(8, 3, 3), warm_up=1)
    assert_within(spectrum.exponents[:1], torch.zeros(1), 1e-14)
    assert spectrum.exponents[1:].isnan().all()
    turn, corner = orthogonal(3, 1), torch.zeros(3, 3, dtype=F64)
    corner[0, 1] = 3
    nilpotent = turn @ corner @ turn.mT
    assert (nilpotent @ nilpotent).abs().max() > 0  # truly 0, and 1e-16 is what comes out
    for qr_every in (1, 2, 5):
        assert from_jacobians(nilpotent.expand(10, 3, 3), qr_every=qr_every).exponents.isnan().all()


@pytest.mark.parametrize(
    ("exponents", "dimension"),
    [
        ([0.5, -0.25, -1.0], 2.25),
        ([0.5, 0.25, -0.5], 3.0),
        ([-0.1, -0.2, -0.3], 0.0),
        ([0.5, -math.inf, -math.inf], 1.0),
    ],
)
def test_kaplan_yorke_dimension(exponents: list[float], dimension: float) -> None:
    jacobian = torch.tensor(exponents, dtype=F64).exp().diag()
    spectrum = from_jacobians(jacobian.expand(400, 3, 3), warm_up=100)
    assert spectrum.kaplan_yorke_dimension.item() == pytest.approx(dimension, abs=1e-9)
    if dimension > 2:
        assert from_jacobians(jacobian.expand(400, 3, 3), 2, warm_up=100).kaplan_yorke_dimension.isnan()


# ---- manners --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_measuring_leaves_everything_as_it_was(mode: type, dtype: torch.dtype) -> None:
    layer = nn.LSTM(3, 4, num_layers=2, dropout=0.5, dtype=dtype)
    x = torch.randn(12, 2, 3, dtype=dtype)
    layer(x)[0].sum().backward()
    before = [(parameter.detach().clone(), parameter.grad.clone()) for parameter in layer.parameters()]
    state = torch.get_rng_state()
    with mode():
        spectrum = gw.flow.lyapunov_spectrum(layer, x)
    assert torch.equal(state, torch.get_rng_state())
    assert layer.training
    for parameter, (value, gradient) in zip(layer.parameters(), before, strict=True):
        assert torch.equal(parameter, value)
        assert torch.equal(parameter.grad, gradient)
    evaluated = gw.flow.lyapunov_spectrum(layer.eval().double(), x.double())
    for name in ("exponents", "by_sequence", "convergence", "kaplan_yorke_dimension"):
        assert getattr(spectrum, name).dtype == F64
        torch.testing.assert_close(getattr(spectrum, name), getattr(evaluated, name), equal_nan=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_exponents": 6}, "num_exponents must be between 1 and 5, the size of the state, got 6"),
        ({"num_exponents": 0}, "num_exponents must be between 1 and 5"),
        ({"warm_up": 7}, "warm_up must be between 0 and 6 for 7 steps, got 7"),
        ({"warm_up": -1}, "warm_up must be between 0 and 6"),
        ({"qr_every": 0}, "qr_every must be at least 1, got 0"),
        ({"lengths": [0, 0, 0]}, "every sequence has length 0"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, object], message: str) -> None:
    problem = Problem("GRU")
    with pytest.raises(ValueError, match=message):
        gw.flow.lyapunov_spectrum(build_layer(problem), padded_inputs(problem), **options)


@pytest.mark.parametrize("name", ["num_exponents", "warm_up", "qr_every"])
def test_numbers_that_are_not_whole_are_refused(name: str) -> None:
    problem = Problem("GRU")
    with pytest.raises(TypeError, match=rf"{name} must be a whole number, got 2\.5"):
        gw.flow.lyapunov_spectrum(build_layer(problem), padded_inputs(problem), **{name: 2.5})


def test_an_empty_batch_and_a_forward_of_its_own_are_refused() -> None:
    class Doubled(nn.GRU):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)[0]

    with pytest.raises(ValueError, match="inputs must hold at least one sequence, got none"):
        gw.flow.lyapunov_spectrum(nn.GRU(3, 4), torch.zeros(7, 0, 3))
    with pytest.raises(ValueError, match="Doubled overrides forward, so its equations are unknown"):
        gw.flow.lyapunov_spectrum(Doubled(3, 4), torch.zeros(7, 2, 3))


def test_wrong_stacks_and_layers_are_refused() -> None:
    for stack in (torch.zeros(3, 3), torch.zeros(2, 3, 4), torch.zeros(0, 3, 3), torch.zeros(2, 3, 3) + 1j):
        with pytest.raises(ValueError, match="jacobians must be real and have shape"):
            from_jacobians(stack)
    broken = torch.eye(3).repeat(4, 1, 1)
    broken[2, 1, 1] = math.nan
    with pytest.raises(ValueError, match="jacobians must be finite, got NaN or infinity in number 2"):
        from_jacobians(broken)
    with pytest.raises(TypeError, match=r"layer must be an RNN, LSTM or GRU of .*, got Linear"):
        gw.flow.lyapunov_spectrum(nn.Linear(2, 2), torch.zeros(3, 2))


@pytest.mark.parametrize("problem", one_of_each(num_layers=2), ids=lambda problem: problem.id)
def test_broken_state_is_an_error(problem: Problem) -> None:
    layer, x = build_layer(problem), padded_inputs(problem)
    with torch.no_grad():
        layer.weight_hh_l1[0, 0] = math.nan
    with pytest.raises(ValueError, match="layer 1, forward: the state is not finite after 1 steps"):
        gw.flow.lyapunov_spectrum(layer, x)
    x[4] = math.inf
    x[4, 1] = math.nan
    with pytest.raises(ValueError, match="layer 0, forward: the state is not finite after 5 steps"):
        gw.flow.lyapunov_spectrum(layer, x)
