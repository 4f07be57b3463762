"""Monitor: training is bit for bit as without; norms and horizons are those of the measures that need no training."""

from __future__ import annotations

import copy
import logging
import math
from functools import partial

import pytest
import torch
from somebody_elses_model import Translator, translation_batch, translation_loss
from torch import Tensor, nn

import gatewise as gw
from gatewise.flow import Verdict
from problems import (
    Problem,
    as_hx,
    as_input,
    as_lengths,
    as_padded,
    build_layer,
    initial_states,
    loss_of,
    one_of_each,
    padded_inputs,
)
from tolerances import assert_bit_equal, assert_close, assert_fails, spoilt

BOTH_WAYS = {"num_layers": 2, "bidirectional": True}
PROBLEMS = [
    *one_of_each(),
    *one_of_each(**BOTH_WAYS, batch_first=True, bias=False),
    *one_of_each(**BOTH_WAYS, num_sequences=4, lengths=(2, 7, 4, 7), is_packed=True),
    *one_of_each(**BOTH_WAYS, dropout=0.4),
    *one_of_each(is_batched=False, num_sequences=1),
    *one_of_each(num_steps=1, hidden_size=1),
    Problem("LSTM", **BOTH_WAYS, proj_size=3),
]
RAGGED = [
    *one_of_each(**BOTH_WAYS, num_sequences=4, lengths=(3, 7, 0, 1)),
    *one_of_each(num_layers=2, dropout=0.4, num_sequences=4, lengths=(3, 7, 0, 1)),
]
CASES = [(module, problem) for problem in PROBLEMS for module in (torch.nn, gw.nn)] + [(gw.nn, p) for p in RAGGED]
each_case = pytest.mark.parametrize(
    ("module", "problem"), CASES, ids=[f"{module.__name__}-{problem.id}" for module, problem in CASES]
)


def call(layer: nn.Module, problem: Problem) -> tuple[object, object]:
    arguments = {"input": as_input(problem, padded_inputs(problem)), "hx": as_hx(problem, initial_states(problem))}
    lengths = as_lengths(problem)
    return layer(**arguments) if lengths is None else layer(**arguments, lengths=lengths)


def whole_loss(problem: Problem, returned: tuple[object, object]) -> Tensor:
    output, final = returned
    return loss_of(as_padded(problem, output), *(final if isinstance(final, tuple) else (final,)))


def final_loss(problem: Problem, returned: tuple[object, object]) -> Tensor:
    final = returned[1]
    return loss_of(*(final if isinstance(final, tuple) else (final,)))


@each_case
@pytest.mark.parametrize("loss_fn", [whole_loss, final_loss])
def test_monitor_sees_the_gradients_that_record_sees(module: object, problem: Problem, loss_fn: object) -> None:
    layer = build_layer(problem, module)
    with gw.flow.Monitor(layer, every=1) as monitor:
        torch.manual_seed(7)
        loss_fn(problem, call(layer, problem)).backward()
    (record,) = monitor.records
    other = build_layer(problem, module)
    with gw.record(other) as recording:
        torch.manual_seed(7)
        loss_fn(problem, call(other, problem)).backward()
    expected = recording[""].hidden_gradient_norm
    lengths = torch.tensor(problem.lengths or [problem.num_steps] * problem.num_sequences)
    counts = (torch.arange(problem.num_steps).unsqueeze(1) < lengths).sum(dim=1)
    assert_close(record.layers[""].norms, expected.sum(dim=-1) / counts, "gradient")
    assert_fails(assert_close, record.layers[""].norms, spoilt(expected.sum(dim=-1) / counts), "gradient")


@each_case
def test_monitor_sees_the_curve_that_gradient_by_lag_sees(module: object, problem: Problem) -> None:
    """The final states alone carry a loss: the gradient starts at each sequence's last processed step in every row."""
    layer = build_layer(problem, module)
    with gw.flow.Monitor(layer, every=1) as monitor:
        torch.manual_seed(7)
        final_loss(problem, call(layer, problem)).backward()
    arguments = {"input": as_input(problem, padded_inputs(problem)), "hx": as_hx(problem, initial_states(problem))}
    arguments |= {} if as_lengths(problem) is None else {"lengths": as_lengths(problem)}
    torch.manual_seed(7)
    measured = gw.flow.gradient_by_lag(layer, arguments, partial(final_loss, problem))
    seen = monitor.records[0].layers[""].curve
    top = problem.num_rows - problem.num_directions  # a lower layer's last step may be read by the layer above
    assert_close(seen.log_norm[top:], measured.log_norm[top:], "gradient")
    assert_close(seen.horizon[top:], measured.horizon[top:], "gradient")
    if problem.num_steps > 1:
        assert_fails(assert_close, seen.log_norm[top:], measured.log_norm[top:] + 1e-9, "gradient")


def trained(model: nn.Module, x: Tensor, monitor: gw.flow.Monitor | None) -> dict[str, Tensor]:
    torch.manual_seed(3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    if monitor is not None:
        monitor.attach()
    for _ in range(5):
        optimizer.zero_grad()
        loss = model(x)[0].square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    if monitor is not None:
        monitor.detach()
    grads = {f"grad {name}": p.grad for name, p in model.named_parameters()}
    return {
        "losses": torch.stack(losses),
        "generator": torch.get_rng_state(),
        **dict(model.named_parameters()),
        **grads,
    }


@pytest.mark.parametrize("module", [torch.nn, gw.nn], ids=["torch", "gatewise"])
@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_training_is_bit_equal_to_training_without(module: object, cell: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = getattr(module, cell)(3, 8, num_layers=2, dropout=0.3, bidirectional=True, dtype=dtype)
    x = torch.randn(9, 4, 3, dtype=dtype)
    expected = trained(copy.deepcopy(model), x, None)
    monitor = gw.flow.Monitor(model, every=2)
    actual = trained(model, x, monitor)
    for name, value in expected.items():
        assert_bit_equal(actual[name].detach(), value.detach(), name)
    assert_fails(assert_bit_equal, actual["losses"], expected["losses"] + 1e-6)
    assert [record.step for record in monitor.records] == [0, 2, 4]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_steps_are_counted_by_backward_passes() -> None:
    """Three forwards of one step, then forwards that no backward follows, then evaluation: one step each at most."""
    model, x = gw.nn.GRU(3, 4), torch.randn(5, 2, 3)
    with gw.flow.Monitor(model, every=1) as monitor:
        (model(x)[0].sum() + model(2 * x)[0].sum() + model(x)[0].sum()).backward()
        assert [record.step for record in monitor.records] == [0]
        assert monitor.records[0].layers[""].curve.num_zero.shape == (1, 5)
        model(x)
        with torch.no_grad():
            model(x)
        model.eval()
        model(x)[0].sum().backward()
        model.train()
        model(x)[0].sum().backward()
        assert [record.step for record in monitor.records] == [0, 1]
    model(x)[0].sum().backward()
    assert len(monitor.records) == 2


def test_every_and_attach_again() -> None:
    model, x = nn.LSTM(3, 4), torch.randn(5, 2, 3)
    monitor = gw.flow.Monitor(model, every=3)
    for _ in range(2):
        monitor.attach().attach()
        for _ in range(4):
            model(x)[0].sum().backward()
        monitor.detach()
    assert [record.step for record in monitor.records] == [0, 3, 6]


def test_torch_autograd_grad_counts_as_a_backward_pass() -> None:
    model, x = nn.GRU(3, 4), torch.randn(5, 2, 3)
    with gw.flow.Monitor(model, every=1) as monitor:
        for _ in range(3):
            torch.autograd.grad(model(x)[0].sum(), list(model.parameters()))
    assert [record.step for record in monitor.records] == [0, 1, 2]
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("module", [torch.nn, gw.nn], ids=["torch", "gatewise"])
def test_frozen_weights_and_a_loss_on_the_final_state_alone(module: object) -> None:
    layer, x = module.LSTM(3, 4, batch_first=True), torch.randn(2, 5, 3, requires_grad=True)
    layer.requires_grad_(False)
    with gw.flow.Monitor(layer, every=1) as monitor:
        for _ in range(2):
            layer(x)[1][1].sum().backward()
    assert [record.step for record in monitor.records] == [0, 1]
    assert (monitor.records[0].layers[""].norms[0, :-1] > 0).all()


def test_callback_gets_scalars_by_name() -> None:
    model, x, got = nn.Sequential(nn.GRU(3, 4, num_layers=2, bidirectional=True)), torch.randn(5, 2, 3), []
    with gw.flow.Monitor(model, every=2, callback=lambda step, scalars: got.append((step, scalars))) as monitor:
        for _ in range(3):
            model(x)[0].sum().backward()
    assert [step for step, _ in got] == [0, 2]
    scalars = got[0][1]
    rows = ["l0", "l0_reverse", "l1", "l1_reverse"]
    keys = ["horizon", "slope", "gradient_norm_first", "gradient_norm_last", "verdict"]
    assert list(scalars) == [f"0/{row}/{key}" for row in rows for key in keys]
    assert all(isinstance(value, float) for value in scalars.values())
    assert scalars["0/l1/gradient_norm_last"] == monitor.records[0].layers["0"].norms[2, -1].item()
    assert scalars["0/l0/verdict"] == 0


def test_a_warning_comes_the_moment_a_verdict_turns(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    model, x = nn.RNN(3, 16, nonlinearity="relu", bias=False), torch.rand(40, 4, 3)
    verdicts = [Verdict.HEALTHY, Verdict.HEALTHY, Verdict.VANISHING, Verdict.VANISHING, Verdict.EXPLODING]
    scales = dict(zip(Verdict, (1.0, 0.5, 2.0, math.nan), strict=True))
    with gw.flow.Monitor(model, every=1) as monitor:
        for verdict in [*verdicts, Verdict.NON_FINITE, Verdict.HEALTHY]:
            with torch.no_grad():
                model.weight_hh_l0.copy_(scales[verdict] * torch.eye(16))
                model.weight_ih_l0.fill_(0.1)
            model.zero_grad()
            model(x)[0][-1].sum().backward()
            assert monitor.records[-1].verdict is verdict
    turns = [(entry.levelname, entry.getMessage()) for entry in caplog.records if entry.name == "gatewise.flow.monitor"]
    assert [level for level, _ in turns] == ["WARNING", "WARNING", "WARNING", "INFO"]
    assert turns[0][1].startswith("training step 2: model l0 turned from HEALTHY to VANISHING: horizon 6 of 39 steps")
    assert "EXPLODING to NON_FINITE" in turns[2][1]


def test_an_overflow_in_one_sequence_of_many_is_seen() -> None:
    model, x = nn.RNN(1, 4, nonlinearity="relu"), torch.zeros(30, 20, 1)
    x[3, 17] = 3e38
    with torch.no_grad():
        model.weight_ih_l0.fill_(2.0)
    with gw.flow.Monitor(model, every=1) as monitor:
        model(x)[0][-1].sum().backward()
    assert monitor.records[0].verdict is Verdict.NON_FINITE


@pytest.mark.filterwarnings("ignore:.*backward hooks:UserWarning")
def test_a_watched_model_can_be_copied_saved_and_diagnosed(tmp_path: object) -> None:
    model, x = nn.GRU(3, 4), torch.randn(5, 2, 3)
    with gw.flow.Monitor(model, every=1, callback=lambda *_: None) as monitor:
        copied = copy.deepcopy(model)
        copied(x)[0].sum().backward()
        torch.save(model, tmp_path / "model.pt")
        loaded = torch.load(tmp_path / "model.pt", weights_only=False)
        loaded(x)[0].sum().backward()
        gw.flow.diagnose(model, x, lambda out: out[0].sum())
        gw.flow.gradient_by_lag(model, x)
        assert monitor.records == []
        model(x)[0].sum().backward()
    assert [record.step for record in monitor.records] == [0]


def test_record_and_monitor_together() -> None:
    model, x = gw.nn.LSTM(3, 4).double(), torch.randn(5, 2, 3).double()
    with gw.flow.Monitor(model, every=1) as monitor, gw.record(model) as recording:
        model(x)[0].square().sum().backward()
    expected = recording[""].hidden_gradient_norm.mean(dim=-1)
    assert_close(monitor.records[0].layers[""].norms, expected, "gradient")


def test_a_decoder_called_step_by_step_is_one_sequence() -> None:
    torch.manual_seed(0)
    model = Translator().double()
    model.encoder.dropout.p = model.decoder.dropout.p = 0.0
    source, target = translation_batch(num_steps=6)
    with gw.flow.Monitor(model, every=1) as monitor, gw.record(model) as recording:
        translation_loss(target, model(source, target)).backward()
    layers = monitor.records[0].layers
    assert list(layers) == ["encoder.gru", "decoder.gru"]
    expected = torch.cat([part.hidden_gradient_norm for part in recording["decoder.gru"].calls], dim=1)
    assert_close(layers["decoder.gru"].norms, expected.mean(dim=-1), "gradient")
    assert layers["decoder.gru"].flows[0].longest_lag == 5
    # The measure in float64 counts the paths through attention too; the monitor the layer's own recurrence.
    whole = gw.flow.gradient_by_lag(model, (source, target), partial(translation_loss, target))["decoder.gru"]
    assert layers["decoder.gru"].curve.log_norm[0, 0].item() == pytest.approx(whole.log_norm[0, 0].item(), rel=1e-9)


def test_only_the_first_sequences_are_looked_at() -> None:
    model, x = gw.nn.GRU(3, 4).double(), torch.randn(5, 20, 3).double()
    with gw.flow.Monitor(model, every=1, max_sequences=2) as monitor, gw.record(model) as recording:
        model(x)[0].square().sum().backward()
    expected = recording[""].hidden_gradient_norm[:, :, :2].mean(dim=-1)
    assert_close(monitor.records[0].layers[""].norms, expected, "gradient")


def test_a_failed_backward_leaves_the_monitor_usable() -> None:
    model, x = nn.GRU(3, 4), torch.randn(5, 2, 3)
    with gw.flow.Monitor(model, every=1) as monitor:
        output = model(x.clone().requires_grad_())[0]
        loss = output.sum()
        loss.backward()
        with pytest.raises(RuntimeError, match="second time"):
            loss.backward()
        model(x)[0].sum().backward()
    assert [record.step for record in monitor.records] == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"every": 0}, "every must be at least 1 training step, got 0"),
        ({"max_sequences": 0}, "max_sequences must be at least 1, got 0"),
        ({"needed_lag": -1}, "needed_lag must be at least 0"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gw.flow.Monitor(nn.GRU(3, 4), **arguments)
    with pytest.raises(ValueError, match="contains no"):
        gw.flow.Monitor(nn.Linear(3, 4))
