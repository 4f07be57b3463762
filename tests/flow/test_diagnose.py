"""diagnose: verdicts on networks whose fate is known, the first bad step and gate, advice that moves the verdict."""

from __future__ import annotations

import copy
import math
from functools import partial

import numpy as np
import pytest
import torch
from somebody_elses_model import Translator, translation_batch, translation_loss
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

import gatewise as gw
from gatewise.flow import Verdict

T, N, I, H = 60, 4, 3, 16  # noqa: E741 - the field's letters


def last_step(returned: tuple[Tensor, object]) -> Tensor:
    return returned[0][-1].square().mean()


def random_inputs(*shape: int) -> Tensor:
    return torch.randn(shape or (T, N, I), generator=torch.Generator().manual_seed(1))


def scaled_orthogonal_rnn(rho: float) -> nn.RNN:
    """Return a tanh RNN that stays near h = 0 for tiny input, where its Jacobian is rho times an orthogonal matrix."""
    layer = nn.RNN(I, H, bias=False)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(torch.tensor(np.linalg.qr(np.random.default_rng(0).normal(size=(H, H)))[0] * rho))
        layer.weight_ih_l0.mul_(1e-30)
    return layer


@pytest.mark.parametrize(
    ("rho", "verdict"),
    [(0.8, Verdict.VANISHING), (0.99, Verdict.HEALTHY), (1.05, Verdict.HEALTHY), (1.2, Verdict.EXPLODING)],
)
def test_verdict_of_a_known_decay(rho: float, verdict: Verdict) -> None:
    """Over 59 steps 1.05 grows by 18, 1.2 by 47 000; .8 has lost a factor 100 after 20 steps, .99 never."""
    diagnosis = gw.flow.diagnose(scaled_orthogonal_rnn(rho).double(), random_inputs().double(), last_step)
    assert diagnosis.verdict is verdict
    (layer,) = diagnosis.layers
    assert layer.flow.slope == pytest.approx(math.log(rho), abs=1e-6)
    assert layer.flow.growth == pytest.approx(rho**59, rel=1e-4)
    assert layer.flow.horizon == (20 if rho == 0.8 else 59)
    assert layer.flow.needed_lag == T / 2


def test_thresholds_are_arguments_and_are_printed() -> None:
    model, x = scaled_orthogonal_rnn(0.8).double(), random_inputs().double()
    assert gw.flow.diagnose(model, x, last_step, needed_lag=20).verdict is Verdict.HEALTHY
    assert gw.flow.diagnose(model, x, last_step, needed_lag=21).verdict is Verdict.VANISHING
    assert gw.flow.diagnose(model, x, last_step, horizon_factor=1e6).verdict is Verdict.HEALTHY
    grown = scaled_orthogonal_rnn(1.05).double()
    assert gw.flow.diagnose(grown, x, last_step, growth_limit=10).verdict is Verdict.EXPLODING
    text = str(gw.flow.diagnose(grown, x, last_step, needed_lag=7, growth_limit=10, horizon_factor=50))
    for part in ("needed 7", "above 10", "1/50", "gradient_by_lag", "slope", "EXPLODING", "clip_grad_norm_"):
        assert part in text


def test_sequences_too_short_to_tell_are_not_called_vanishing() -> None:
    model, x = scaled_orthogonal_rnn(0.99).double(), random_inputs().double()
    far = gw.flow.diagnose(model, x, last_step, needed_lag=1000)
    assert far.verdict is Verdict.HEALTHY
    assert "as far back as is needed" not in str(far)
    assert "reaches the first step in every layer; 1000 steps are needed, more than there are" in str(far)
    assert "as far back as is needed" in str(gw.flow.diagnose(model, x, last_step, needed_lag=59))
    assert gw.flow.diagnose(nn.GRU(I, 1), random_inputs(1, N, I), last_step).verdict is Verdict.HEALTHY


# ---- advice ---------------------------------------------------------------------------------------------------------


def applied(code: str, model: nn.Module) -> nn.Module:
    """Return a copy of the model after the advice's code."""
    names = {"gw": gw, "torch": torch, "model": copy.deepcopy(model)}
    exec(code, names)
    return names["model"]


class Wrapped(nn.Module):
    """A layer inside a model, so that the advice has to find it."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({"rnn": layer})
        self.head = nn.Linear(layer.hidden_size, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.parts["rnn"](x)[0][-1])


VANISHING = {
    "tanh": lambda: nn.RNN(I, H),
    "relu": lambda: nn.RNN(I, H, nonlinearity="relu"),
    "two layers": lambda: nn.RNN(I, H, num_layers=2),
    "lstm": lambda: nn.LSTM(I, H),
    "gru": lambda: nn.GRU(I, H),
}


@pytest.mark.parametrize("kind", VANISHING)
@pytest.mark.parametrize("seed", range(3))
def test_each_advice_against_vanishing_makes_the_layer_healthy(kind: str, seed: int) -> None:
    torch.manual_seed(seed)
    model, x = Wrapped(VANISHING[kind]()), random_inputs(100, 8, I)
    diagnosis = gw.flow.diagnose(model, x, torch.sum)
    assert diagnosis.verdict is Verdict.VANISHING
    advice = diagnosis.worst.advice
    assert len(advice) == 2
    for part in advice:
        better = applied(part.code, model)
        assert gw.flow.diagnose(better, x, torch.sum).verdict is Verdict.HEALTHY, part.code
    assert gw.flow.diagnose(applied("pass", model), x, torch.sum).verdict is Verdict.VANISHING


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_a_lag_beyond_all_bounds_has_advice_too(cell: str) -> None:
    """100^(-1/4e20) is 1 in float64, and the logit of 1 is none."""
    torch.manual_seed(0)
    diagnosis = gw.flow.diagnose(getattr(nn, cell)(I, H), random_inputs(), last_step, needed_lag=1e20)
    assert diagnosis.verdict is Verdict.VANISHING
    biased = [part.code for part in diagnosis.worst.advice if "forget_bias_" in part.code]
    bias = math.log(4e20 / math.log(100))
    assert biased == ([] if cell == "RNN" else [f"gw.nn.init.forget_bias_(model, {bias:.2f})"])


def exploding(cell: str) -> nn.Module:
    torch.manual_seed(0)
    layer = getattr(nn, cell)(I, 32)
    with torch.no_grad():
        layer.weight_hh_l0.mul_(15 if cell == "LSTM" else 6)
    return Wrapped(layer)


@pytest.mark.parametrize(
    ("cell", "healed"), [("RNN", (Verdict.HEALTHY, Verdict.VANISHING)), ("LSTM", (Verdict.HEALTHY,))]
)
def test_advice_on_the_weights_ends_an_explosion(cell: str, healed: tuple[Verdict, ...]) -> None:
    model, x = exploding(cell), 0.1 * random_inputs(100, 8, I)
    diagnosis = gw.flow.diagnose(model, x, torch.sum)
    assert diagnosis.verdict is Verdict.EXPLODING
    clip, *on_weights = diagnosis.worst.advice
    assert "clip_grad_norm_" in clip.code
    assert on_weights
    for part in on_weights:
        assert gw.flow.diagnose(applied(part.code, model), x, torch.sum).verdict in healed, part.code


def test_clipping_at_the_advised_norm_keeps_training_finite() -> None:
    """Plain SGD on an exploding relu network is no number after a few steps; clipped as advised it learns."""

    def trained(clip: str) -> tuple[nn.Module, list[float]]:
        torch.manual_seed(2)
        model = Wrapped(nn.RNN(I, H, nonlinearity="relu"))
        with torch.no_grad():
            model.parts["rnn"].weight_hh_l0.copy_(1.15 * torch.eye(H))
        optimizer, losses = torch.optim.SGD(model.parameters(), lr=1e-3), []
        for _ in range(10):
            optimizer.zero_grad()
            loss = loss_fn(model(x))
            loss.backward()
            exec(clip, {"torch": torch, "model": model})
            optimizer.step()
            losses.append(loss.item())
        return model, losses

    x = random_inputs()

    def loss_fn(output: Tensor) -> Tensor:
        return (output - 1).square().mean()

    torch.manual_seed(2)
    model = Wrapped(nn.RNN(I, H, nonlinearity="relu"))
    with torch.no_grad():
        model.parts["rnn"].weight_hh_l0.copy_(1.15 * torch.eye(H))
    diagnosis = gw.flow.diagnose(model, x, loss_fn)
    assert diagnosis.verdict is Verdict.EXPLODING
    wild, _ = trained("pass")
    assert gw.flow.diagnose(wild, x, loss_fn).verdict is Verdict.NON_FINITE
    clipped, losses = trained(diagnosis.worst.advice[0].code)
    assert gw.flow.diagnose(clipped, x, loss_fn).verdict is not Verdict.NON_FINITE
    assert losses[-1] < losses[0]


# ---- where something is not finite ----------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l1", "bias_hh_l0_reverse"])
def test_nan_in_a_weight_names_the_parameter(cell: str, name: str) -> None:
    model = nn.Sequential(getattr(nn, cell)(I, H, num_layers=2, bidirectional=True))
    with torch.no_grad():
        getattr(model[0], name).view(-1)[3] = math.nan
    diagnosis = gw.flow.diagnose(model, random_inputs(), last_step)
    assert diagnosis.verdict is Verdict.NON_FINITE
    assert (diagnosis.non_finite.kind, diagnosis.non_finite.quantity) == ("parameter", f"0.{name}")
    row = {"weight_ih_l0": 0, "bias_hh_l0_reverse": 1, "weight_hh_l1": 2}[name]
    assert diagnosis.layers[row].non_finite.quantity == f"0.{name}"
    assert f"NaN in parameter 0.{name}" in str(diagnosis)
    repaired = applied(diagnosis.layers[row].advice[0].code, model)
    assert gw.flow.diagnose(repaired, random_inputs(), last_step).verdict is not Verdict.NON_FINITE


def test_nan_in_a_parameter_outside_the_layers_is_named_too() -> None:
    model = Wrapped(nn.GRU(I, H))
    with torch.no_grad():
        model.head.bias[0] = math.inf
    diagnosis = gw.flow.diagnose(model, random_inputs(), torch.sum)
    assert diagnosis.verdict is Verdict.NON_FINITE
    assert str(diagnosis.non_finite) == "inf in parameter head.bias"
    assert gw.flow.diagnose(applied(diagnosis.advice[0].code, model), random_inputs(), torch.sum).non_finite is None


def test_nan_in_the_data_is_found_at_its_step() -> None:
    x = random_inputs()
    x[17, 2, 1] = math.nan
    found = gw.flow.diagnose(nn.LSTM(I, H), x, last_step).non_finite
    assert (found.kind, found.step, found.sequence, found.value) == ("input", 17, 2, "NaN")


def test_nan_padding_is_no_finding() -> None:
    x, lengths = random_inputs(), [T, 5, 0, 30]
    x[40:, 3] = math.nan
    diagnosis = gw.flow.diagnose(gw.nn.LSTM(I, H, bidirectional=True), (x, None, lengths), lambda out: out[1][0].sum())
    assert diagnosis.non_finite is None
    x[29, 3] = math.nan
    found = gw.flow.diagnose(gw.nn.LSTM(I, H), (x, None, lengths), lambda out: out[1][0].sum()).non_finite
    assert (found.kind, found.step, found.sequence) == ("input", 29, 3)


def doubling() -> nn.RNN:
    layer = nn.RNN(1, 1, nonlinearity="relu", bias=False)
    with torch.no_grad():
        layer.weight_hh_l0.fill_(4)
        layer.weight_ih_l0.fill_(1)
    return layer


def test_forward_overflow_is_found_in_the_models_own_precision() -> None:
    """h_t = 4^t: float32 ends at 2^128, so step 64 is infinite; float64 would hold it."""
    x = torch.zeros(80, 2, 1)
    x[0] = 1
    diagnosis = gw.flow.diagnose(doubling(), x, lambda out: out[0][-1].mean())
    found = diagnosis.non_finite
    assert (found.kind, found.quantity, found.value, found.step) == ("forward", "hidden_state", "inf", 64)
    assert diagnosis.worst.flow.slope == pytest.approx(math.log(4))
    healed = applied(diagnosis.worst.advice[0].code, doubling())
    assert gw.flow.diagnose(healed, x, lambda out: out[0][-1].mean()).verdict is Verdict.HEALTHY
    in_float64 = gw.flow.diagnose(doubling().double(), x.double(), lambda out: out[0][-1].mean())
    assert in_float64.verdict is Verdict.EXPLODING


def test_gradient_overflow_is_found_where_backward_meets_it() -> None:
    """The states are tiny, so forward stays finite; 4^64 times the loss's gradient of 1 is infinite."""
    x = torch.zeros(80, 1, 1)
    x[0] = 1e-30
    diagnosis = gw.flow.diagnose(doubling(), x, lambda out: out[0][-1].sum())
    assert diagnosis.non_finite.kind == "gradient"
    assert diagnosis.non_finite.quantity == "hidden_state"
    assert diagnosis.non_finite.step == 79 - 64


def test_gates_are_named_where_they_break_first() -> None:
    """Input and recurrent part of the forget gate's preactivation overflow with opposite signs: inf - inf."""
    layer, ones = nn.LSTM(2, 3), torch.ones(1, 1, 3)
    with torch.no_grad():
        layer.weight_ih_l0[3:6] = 3e38
        layer.weight_hh_l0[3:6] = -3e38
    found = gw.flow.diagnose(layer, (torch.ones(5, 1, 2), (ones, ones)), last_step).non_finite
    assert (found.kind, found.quantity, found.step) == ("forward", "forget_gate", 0)


def test_a_loss_that_is_no_number_is_told_from_the_layers() -> None:
    diagnosis = gw.flow.diagnose(nn.GRU(I, H), random_inputs(), lambda out: (out[0][-1] - 5).log().sum())
    assert diagnosis.non_finite.kind == "loss"
    assert "log" in diagnosis.advice[0].text


def test_a_gradient_that_comes_in_broken_is_told_from_one_that_breaks_inside() -> None:
    diagnosis = gw.flow.diagnose(nn.GRU(I, H), random_inputs(), lambda out: (out[0][-1] * 0).abs().sqrt().sum())
    assert diagnosis.non_finite.kind == "gradient"
    assert diagnosis.non_finite.quantity == "output"
    assert diagnosis.non_finite.step == T - 1


# ---- models and calls -----------------------------------------------------------------------------------------------


def test_reverse_direction_read_at_the_last_position_has_seen_one_step() -> None:
    """The common slip: output[-1] of a bidirectional layer holds the reverse direction's first step."""
    layer = nn.GRU(I, H, bidirectional=True)
    gw.nn.init.chrono_(layer, T)
    wrong = gw.flow.diagnose(layer, random_inputs(), last_step)
    assert [row.verdict for row in wrong.layers] == [Verdict.HEALTHY, Verdict.VANISHING]
    assert "0 steps after its start" in wrong.worst.advice[0].text
    right = gw.flow.diagnose(layer, random_inputs(), lambda out: out[1].square().sum())
    assert right.verdict is Verdict.HEALTHY


def test_a_layer_that_the_loss_does_not_reach() -> None:
    class Detached(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = nn.GRU(I, H), nn.GRU(H, H)

        def forward(self, x: Tensor) -> Tensor:
            return self.decoder(self.encoder(x)[0].detach())[0][-1]

    model = Detached()
    gw.nn.init.chrono_(model.decoder, T)
    diagnosis = gw.flow.diagnose(model, random_inputs(), torch.sum)
    assert [row.verdict for row in diagnosis.layers] == [Verdict.VANISHING, Verdict.HEALTHY]
    assert "detach" in diagnosis.worst.advice[0].text
    assert "no gradient reaches encoder (GRU)" in str(diagnosis)


def test_padding_that_the_loss_ignores_does_not_hide_the_gradient() -> None:
    """A padded batch without lengths, read at each sequence's own end: the gradient starts there."""
    layer, lengths = scaled_orthogonal_rnn(0.8).double(), torch.tensor([60, 40, 20, 50])
    rows = torch.arange(N)
    diagnosis = gw.flow.diagnose(layer, random_inputs().double(), lambda out: out[0][lengths - 1, rows].sum())
    assert diagnosis.worst.flow.slope == pytest.approx(math.log(0.8), abs=1e-6)


def test_somebody_elses_model() -> None:
    torch.manual_seed(0)
    model = Translator()
    source, target = translation_batch(num_steps=40)
    before = {name: parameter.clone() for name, parameter in model.state_dict().items()}
    state = torch.get_rng_state()
    diagnosis = gw.flow.diagnose(model, (source, target), partial(translation_loss, target))
    assert [(row.name, row.cell, row.flow.longest_lag) for row in diagnosis.layers] == [
        ("encoder.gru", "GRU", 39),
        ("decoder.gru", "GRU", 39),
    ]
    assert diagnosis.verdict is Verdict.VANISHING
    assert "model.encoder.gru" in str(diagnosis)
    assert torch.equal(torch.get_rng_state(), state)
    better = applied("\n".join(row.advice[0].code for row in diagnosis.layers), model)
    after = gw.flow.diagnose(better, (source, target), partial(translation_loss, target))
    assert [row.flow.horizon for row in after.layers] > [row.flow.horizon for row in diagnosis.layers]
    assert after.verdict is Verdict.HEALTHY
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("module", [torch.nn, gw.nn], ids=["torch", "gatewise"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_measuring_leaves_the_model_as_it_is(is_training: bool, module: object, dtype: torch.dtype) -> None:
    layer = module.LSTM(I, H, num_layers=2, bidirectional=True, dropout=0.3, dtype=dtype).train(is_training)
    x = random_inputs(20, N, I).to(dtype)
    packed = pack_padded_sequence(x, torch.tensor([20, 4, 9, 20]), enforce_sorted=False)
    layer(packed)[0].data.sum().backward()
    before = {name: (p.detach().clone(), p.grad.clone()) for name, p in layer.named_parameters()}
    state = torch.get_rng_state()
    with torch.no_grad():
        diagnosis = gw.flow.diagnose(layer, packed, lambda out: out[1][0].square().sum())
    assert len(diagnosis.layers) == 4
    assert {(row.layer, row.direction) for row in diagnosis.layers} == {
        (layer, direction) for layer in (0, 1) for direction in ("forward", "reverse")
    }
    assert layer.training is is_training
    assert torch.equal(torch.get_rng_state(), state)
    for name, parameter in layer.named_parameters():
        assert parameter.dtype == dtype
        assert torch.equal(parameter, before[name][0])
        assert torch.equal(parameter.grad, before[name][1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"needed_lag": -1}, "needed_lag must be at least 0 steps and finite, got -1"),
        ({"needed_lag": math.inf}, "needed_lag must be at least 0 steps and finite, got inf"),
        ({"growth_limit": 0.5}, "growth_limit must be at least 1, got 0.5"),
        ({"horizon_factor": 0.5}, "horizon_factor must be a finite number above 1"),
    ],
)
def test_wrong_thresholds_are_named(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gw.flow.diagnose(nn.GRU(I, H), random_inputs(), last_step, **arguments)


def test_empty_inputs_are_named() -> None:
    with pytest.raises(ValueError, match="at least one sequence"):
        gw.flow.diagnose(nn.GRU(I, H), torch.zeros(T, 0, I), lambda out: out[0].sum())
    for lengths, is_empty in (([0] * N, True), ([0, 0, 0, 3], False)):
        arguments = gw.nn.GRU(I, H), (random_inputs(), None, lengths), lambda out: out[1].sum()
        if is_empty:
            with pytest.raises(
                ValueError, match="every sequence of layer '' has length 0: there is no step to diagnose"
            ):
                gw.flow.diagnose(*arguments)
        else:
            assert gw.flow.diagnose(*arguments).layers[0].flow.longest_lag == 2
    with pytest.raises(RuntimeError, match="sequence length to be larger than 0"):
        gw.flow.diagnose(nn.GRU(I, H), torch.zeros(0, N, I), lambda out: out[0].sum())
