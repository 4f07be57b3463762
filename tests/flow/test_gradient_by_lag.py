"""gradient_by_lag against products of closed-form step Jacobians, and against decays that are known exactly."""

import math

import numpy as np
import pytest
import torch
from somebody_elses_model import Translator, translation_batch
from torch import nn

import gatewise as gw
from gatewise.cells import State

T, N, I, H = 9, 4, 3, 5  # noqa: E741 - the field's letters


def layer_of(cell, **options):
    torch.manual_seed(3)
    return getattr(gw.nn, cell)(I, H, **options).double()


def adjoint_norms(layer, inputs, lengths, v):
    """Return |v^T J_T ... J_{T-k+1}| (N, T) of a one-layer forward network from its trace, NaN past the first step."""
    trace = layer.trace(inputs, lengths=lengths).detach()
    weights = trace.weights(0)
    norms = torch.full((N, T), math.nan, dtype=torch.float64)
    for n, length in enumerate(lengths):
        adjoint = v[n]
        for lag in range(length):
            norms[n, lag] = adjoint.norm()
            t = length - 1 - lag
            if t == 0:
                break
            cell = trace.cell
            before = State(trace.hidden[0, t - 1, n], None if cell is None else cell[0, t - 1, n])
            after = State(trace.hidden[0, t, n], None if cell is None else cell[0, t, n])
            gates = {name: gate[0, t, n] for name, gate in trace.gates.items()}
            adjoint = adjoint @ trace.equations.step_jacobian(before, after, gates, weights)
    return norms


def mean_log(norms):
    """Average the logs of (N, T) over sequences, zeros left out."""
    return torch.where(norms > 0, norms, math.nan).log().nanmean(dim=0)


CASES = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu"}),
    ("LSTM", {}),
    ("LSTM", {"proj_size": 2}),
    ("LSTM", {"bias": False}),
    ("GRU", {}),
]


@pytest.mark.parametrize(("cell", "options"), CASES)
@pytest.mark.parametrize("lengths", [[T] * N, [T, 4, 1, 6]])
def test_gradient_by_lag_equals_jacobian_product(cell, options, lengths):
    layer, inputs = layer_of(cell, **options), torch.randn(T, N, I, dtype=torch.float64)
    rows = torch.arange(N)
    ends = torch.tensor(lengths) - 1

    def loss_fn(output):
        return output[0][ends, rows].pow(3).sum()

    measured = gw.flow.gradient_by_lag(layer, (inputs, None, lengths), loss_fn)
    hidden = layer(inputs, lengths=lengths)[0].detach()[ends, rows]
    v = 3 * hidden**2
    if cell == "LSTM":
        v = torch.cat([v, torch.zeros(N, H, dtype=torch.float64)], dim=1)
    norms = adjoint_norms(layer, inputs, lengths, v)
    expected = mean_log(norms)
    torch.testing.assert_close(measured.log_norm[0], expected, rtol=1e-11, atol=1e-11, equal_nan=True)
    with pytest.raises(AssertionError):  # the assertion can fail: the same product one lag off
        torch.testing.assert_close(measured.log_norm[0], expected.roll(1), rtol=1e-11, atol=1e-11, equal_nan=True)


@pytest.mark.parametrize(("cell", "options"), CASES)
def test_random_probes_are_root_mean_square(cell, options):
    layer, inputs = layer_of(cell, **options), torch.randn(T, N, I, dtype=torch.float64)
    size = (layer.proj_size or H) + (H if cell == "LSTM" else 0)
    generator = torch.Generator().manual_seed(0)
    squares = torch.zeros(N, T, dtype=torch.float64)
    for _ in range(8):
        v = torch.randn(N, size, generator=generator, dtype=torch.float64)
        squares += adjoint_norms(layer, inputs, [T] * N, v) ** 2
    measured = gw.flow.gradient_by_lag(layer, inputs)
    expected = mean_log((squares / 8).sqrt())
    torch.testing.assert_close(measured.log_norm[0], expected, rtol=1e-11, atol=1e-11, equal_nan=True)


def scaled_orthogonal_rnn(rho):
    """Return a tanh RNN that stays at h = 0 for zero input, where its Jacobian is rho times an orthogonal matrix."""
    layer = gw.nn.RNN(I, H, bias=False)
    orthogonal = np.linalg.qr(np.random.default_rng(0).normal(size=(H, H)))[0]
    with torch.no_grad():
        layer.weight_hh_l0.copy_(torch.tensor(rho * orthogonal))
    return layer


@pytest.mark.parametrize("rho", [0.5, 0.9, 1.0, 1.1])
def test_slope_of_scaled_orthogonal_rnn_is_log_rho(rho):
    measured = gw.flow.gradient_by_lag(scaled_orthogonal_rnn(rho), torch.zeros(30, 2, I))
    assert measured.slope.item() == pytest.approx(math.log(rho), abs=1e-6)  # float32 weights hold rho to 6e-8
    low, high = measured.slope_interval()[0].tolist()
    assert low <= measured.slope.item() <= high
    assert measured.slope.item() != pytest.approx(math.log(rho * 1.01), abs=1e-6)


@pytest.mark.parametrize(("num_steps", "horizon", "is_censored"), [(60, 43, False), (30, 29, True)])
def test_horizon_is_last_lag_above_one_hundredth(num_steps, horizon, is_censored):
    # .9^43 = .0108 and .9^44 = .0097
    measured = gw.flow.gradient_by_lag(scaled_orthogonal_rnn(0.9), torch.zeros(num_steps, 2, I))
    assert measured.horizon.item() == horizon
    assert measured.horizon_is_censored.item() is is_censored


@pytest.mark.parametrize(
    ("arguments", "horizon", "is_censored"),
    [
        ({"step": 5}, 5, True),  # five steps stand before it, whatever the length of the sequence
        ({"lengths": [12, 9]}, 11, True),  # the padding goes on to 60
        ({"step": 5, "lags": [1, 3, 40]}, 3, True),
        ({"step": 50}, 43, False),
    ],
)
def test_horizon_at_the_first_step_of_all_sequences_is_censored(arguments, horizon, is_censored):
    lengths = arguments.pop("lengths", [60, 60])
    inputs = (torch.zeros(60, 2, I), None, lengths)
    measured = gw.flow.gradient_by_lag(scaled_orthogonal_rnn(0.9), inputs, **arguments)
    assert measured.horizon.item() == horizon
    assert measured.horizon_is_censored.item() is is_censored


def test_lags_and_steps_may_be_numbers_of_torch_and_numpy():
    layer, inputs = layer_of("GRU"), torch.randn(T, N, I, dtype=torch.float64)
    expected = gw.flow.gradient_by_lag(layer, inputs, step=5, lags=[0, 1, 2, 3])
    for lags, step in ((torch.arange(4), torch.tensor(5)), (np.arange(4), np.int64(5)), (range(4), [5])):
        measured = gw.flow.gradient_by_lag(layer, inputs, step=step, lags=lags)
        assert torch.equal(measured.lags, expected.lags)
        assert torch.equal(measured.log_norm, expected.log_norm)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lags": [1.5]}, "lags must be a whole number, got 1.5"),
        ({"lags": 3}, "lags must be a sequence of whole numbers, got 3"),
        ({"step": 2.0}, "step must be a whole number, got 2.0"),
        ({"model": "rnn"}, r"model must be a torch\.nn\.Module, got str"),
    ],
)
def test_arguments_of_the_wrong_kind_are_named(arguments, message):
    with pytest.raises(TypeError, match=message):
        gw.flow.gradient_by_lag(**{"model": layer_of("RNN"), "inputs": torch.randn(T, N, I), **arguments})


def test_lags_below_float32_range_are_measured():
    measured = gw.flow.gradient_by_lag(scaled_orthogonal_rnn(0.1), torch.zeros(60, 2, I))
    decay = measured.log_norm[0, -1] - measured.log_norm[0, 0]
    assert decay.item() == pytest.approx(59 * math.log(0.1), rel=1e-6)
    assert torch.tensor(0.1) ** 59 == 0  # float32 would have said: nothing arrives


def test_zero_norms_are_counted_and_left_out():
    layer = layer_of("RNN")
    with torch.no_grad():
        layer.weight_hh_l0.zero_()
    measured = gw.flow.gradient_by_lag(layer, torch.randn(T, N, I))
    assert measured.num_zero[0].tolist() == [0] + [N] * (T - 1)
    assert measured.log_norm[0, 1:].isnan().all()
    assert measured.horizon.item() == 0
    assert not measured.horizon_is_censored.item()


def test_reverse_direction_mirrors_forward():
    layer = layer_of("LSTM", bidirectional=True)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if name.endswith("_reverse"):
                parameter.copy_(getattr(layer, name.removesuffix("_reverse")))
    inputs = torch.randn(T, N, I, dtype=torch.float64)
    palindrome = torch.cat([inputs, inputs.flip(0)])
    measured = gw.flow.gradient_by_lag(
        layer, palindrome, lambda output: (output[0][0, :, H:] + output[0][-1, :, :H]).sum()
    )
    torch.testing.assert_close(measured.log_norm[1], measured.log_norm[0], rtol=1e-11, atol=1e-11)


def test_step_and_lags_choose_from_the_whole_curve():
    layer, inputs = layer_of("GRU"), torch.randn(T, N, I, dtype=torch.float64)
    whole = gw.flow.gradient_by_lag(layer, inputs[:6])
    chosen = gw.flow.gradient_by_lag(layer, inputs, step=5, lags=[2, 4])
    assert chosen.lags.tolist() == [0, 2, 4]
    torch.testing.assert_close(chosen.log_norm[0], whole.log_norm[0, [0, 2, 4]], rtol=1e-11, atol=1e-11)


class TwoLayers(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.GRU(I, H, batch_first=True)
        self.decoder = nn.ModuleDict({"rnn": nn.LSTM(H, H, batch_first=True, dropout=0.0)})
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        return self.decoder["rnn"](self.dropout(self.encoder(x)[0]))[0]


def test_measuring_leaves_model_and_random_state_untouched():
    model, x = TwoLayers(), torch.randn(N, T, I)
    model(x).sum().backward()
    before = {
        name: (parameter.detach().clone(), parameter.grad.clone()) for name, parameter in model.named_parameters()
    }
    state = torch.get_rng_state()
    with torch.no_grad():
        measured = gw.flow.gradient_by_lag(model, x, lambda output: output[:, -1].sum())
    assert set(measured) == {"encoder", "decoder.rnn"}
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    for name, parameter in model.named_parameters():
        assert parameter.dtype == torch.float32
        assert torch.equal(parameter, before[name][0])
        assert torch.equal(parameter.grad, before[name][1])
    assert all("forward" not in module.__dict__ for module in model.modules())


def test_model_without_recurrent_layer_is_refused():
    with pytest.raises(ValueError, match="contains no"):
        gw.flow.gradient_by_lag(nn.Linear(I, H), torch.randn(N, I))


@pytest.mark.parametrize(("cell", "options"), CASES)
def test_chosen_steps_are_averaged_in_the_log(cell, options):
    layer, inputs = layer_of(cell, **options), torch.randn(T, N, I, dtype=torch.float64)
    singles = [gw.flow.gradient_by_lag(layer, inputs, step=step) for step in (3, 5, 8)]
    several = gw.flow.gradient_by_lag(layer, inputs, step=[3, 5, 8])
    counts = torch.stack([N - single.num_zero for single in singles])  # a sequence counts where its norm is not zero
    logs = torch.stack([single.log_norm for single in singles])
    expected = (logs * counts).nansum(dim=0) / (counts * logs.isfinite()).sum(dim=0)
    torch.testing.assert_close(several.log_norm, expected, rtol=1e-11, atol=1e-11)
    mean_norm = torch.stack([single.log_norm.exp() for single in singles]).nanmean(dim=0).log()
    with pytest.raises(AssertionError):  # the mean of the norms is another number
        torch.testing.assert_close(several.log_norm, mean_norm, rtol=1e-11, atol=1e-11)


def test_horizon_follows_the_stated_factor():
    # .9^7 = .478, .9^6 = .531; .9^21 = .109, .9^22 = .098
    for factor, horizon in ((2, 6), (10, 21), (100, 43)):
        measured = gw.flow.gradient_by_lag(scaled_orthogonal_rnn(0.9), torch.zeros(60, 2, I), horizon_factor=factor)
        assert measured.horizon.item() == horizon
        assert measured.horizon_factor == factor


def test_norms_hold_where_their_squares_are_zero():
    measured = gw.flow.gradient_by_lag(scaled_orthogonal_rnn(0.001), torch.zeros(101, 2, I))
    assert measured.num_zero.sum() == 0
    assert measured.slope.item() == pytest.approx(math.log(0.001), rel=1e-6)
    assert (0.001**100) ** 2 == 0


@pytest.mark.parametrize(("cell", "options"), CASES)
def test_input_sensitivity_equals_autograd_at_the_inputs(cell, options):
    layer, lengths = layer_of(cell, **options), [T, 4, 1, 6]
    inputs = torch.randn(T, N, I, dtype=torch.float64, requires_grad=True)

    def loss_fn(returned):
        final = returned[1] if cell == "LSTM" else (returned[1],)
        return sum(state.pow(3).sum() for state in final)

    measured = gw.flow.input_sensitivity_by_lag(layer, (inputs, None, lengths), loss_fn)
    (gradient,) = torch.autograd.grad(loss_fn(layer(inputs, lengths=lengths)), inputs)
    norms = torch.full((N, T), math.nan, dtype=torch.float64)
    for n, length in enumerate(lengths):
        norms[n, :length] = gradient[:length, n].norm(dim=-1).flip(0)
    expected = mean_log(norms)
    torch.testing.assert_close(measured.log_norm[0], expected, rtol=1e-11, atol=1e-11)
    states = gw.flow.gradient_by_lag(layer, (inputs, None, lengths))
    with pytest.raises(AssertionError):
        torch.testing.assert_close(measured.log_norm, states.log_norm, rtol=1e-11, atol=1e-11)


def test_input_sensitivity_sees_what_never_comes_in():
    """The gradient keeps its norm along the state, but no input writes to the unit it lives on."""
    layer = gw.nn.RNN(1, 2, bias=False)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(torch.diag(torch.tensor([1.0, 0.5])))
        layer.weight_ih_l0.copy_(torch.tensor([[0.0], [1.0]]))
    inputs = torch.zeros(20, 3, 1)
    assert gw.flow.gradient_by_lag(layer, inputs).horizon.item() == 19
    sensitivity = gw.flow.input_sensitivity_by_lag(layer, inputs)
    assert sensitivity.slope.item() == pytest.approx(math.log(0.5), abs=1e-9)
    assert sensitivity.horizon.item() == 6  # 2^6 = 64, 2^7 = 128


def test_input_sensitivity_of_symbols_and_of_a_layer_called_step_by_step():
    source, target = translation_batch(num_steps=6)
    measured = gw.flow.input_sensitivity_by_lag(Translator().eval(), (source, target), lambda out: out[:, -1].sum())
    assert measured["encoder.gru"].log_norm.shape == measured["decoder.gru"].log_norm.shape == (1, 6)
    assert measured["decoder.gru"].log_norm.isfinite().all()


def test_a_decoder_called_step_by_step_is_measured_like_one_called_once():
    class StepByStep(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = layer_of("LSTM", batch_first=True)

        def forward(self, x):
            state, outputs = None, []
            for t in range(x.shape[1]):
                output, state = self.rnn(x[:, t : t + 1], state)
                outputs.append(output)
            return torch.cat(outputs, dim=1)

    model, inputs = StepByStep(), torch.randn(N, T, I, dtype=torch.float64)
    whole = gw.flow.gradient_by_lag(model.rnn, inputs, lambda out: out[0][:, -1].sum())
    parts = gw.flow.gradient_by_lag(model, inputs, lambda out: out[:, -1].sum())
    torch.testing.assert_close(parts.log_norm, whole.log_norm, rtol=1e-11, atol=1e-11)


def test_layer_called_twice_is_refused():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.RNN(I, I)

        def forward(self, x):
            return self.rnn(self.rnn(x)[0])[0]

    with pytest.raises(ValueError, match="'rnn' is called more than once"):
        gw.flow.gradient_by_lag(Twice(), torch.randn(T, N, I))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lags": [T]}, "lags must be between 0 and 8"),
        ({"step": T}, "step must be -1 or a position from 0 to 8"),
        ({"step": []}, "step must name at least one position"),
        ({"horizon_factor": 1}, "horizon_factor must be a finite number above 1"),
        ({"horizon_factor": math.inf}, "horizon_factor must be a finite number above 1"),
        ({"loss_fn": lambda output: output[0]}, "loss_fn must return a scalar"),
        ({"loss_fn": lambda output: output[0].sum() * 1j}, "loss_fn must return a real number"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        gw.flow.gradient_by_lag(layer_of("RNN"), torch.randn(T, N, I), **arguments)


def test_nan_is_not_taken_for_a_sequence_that_has_ended():
    layer, inputs = layer_of("GRU"), torch.randn(T, N, I)
    inputs[T - 1, 2] = math.nan
    measured = gw.flow.gradient_by_lag(layer, inputs)
    assert measured.log_norm[0, 1:].isnan().all()
    assert measured.num_zero.sum() == 0
    assert measured.horizon.isnan().all()  # and not 0, the last lag that is a number
    assert not measured.horizon_is_censored.any()


def test_model_that_makes_float32_inside_can_be_measured():
    class OneHot(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.LSTM(I, H)
            self.head = nn.Linear(H, 2)

        def forward(self, symbols):
            return self.head(self.rnn(nn.functional.one_hot(symbols, I).float())[0][-1].float())

    measured = gw.flow.gradient_by_lag(OneHot(), torch.randint(I, (T, N)), lambda output: output.square().sum())
    assert measured.log_norm.isfinite().all()


def test_measuring_works_in_inference_mode():
    layer, inputs = layer_of("LSTM"), torch.randn(T, N, I)
    expected = gw.flow.gradient_by_lag(layer, inputs).log_norm
    with torch.inference_mode():
        assert torch.equal(gw.flow.gradient_by_lag(layer, inputs.clone()).log_norm, expected)
