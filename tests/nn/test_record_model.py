"""`gw.record` on whole models: names, several calls, the user's own training left alone, everything put back."""

from __future__ import annotations

import gc
import pickle
import weakref
from collections.abc import Callable

import pytest
import torch
from models import Classifier, OwnForward
from torch import Tensor, nn

import gatewise as gw
from gatewise import _native
from problems import Problem, build_layer, one_of_each, padded_inputs
from tolerances import assert_bit_equal, assert_close, assert_fails, spoilt

each_module = pytest.mark.parametrize("module", [torch.nn, gw.nn], ids=["torch", "gatewise"])
NAMES = ["encoder.inner", "decoder"]


def train_once(model: Classifier) -> dict[str, Tensor]:
    """Return loss, gradients and the generator's state after one forward and backward."""
    torch.manual_seed(21)
    x = model.inputs().requires_grad_()
    loss = model(x).square().mean()
    loss.backward()
    gradients = {f"grad {name}": parameter.grad for name, parameter in model.named_parameters()}
    return {"loss": loss.detach(), "grad x": x.grad, **gradients, "generator": torch.get_rng_state()}


def forwards(model: nn.Module) -> list[object]:
    """Return what sits under the name forward on the instances themselves."""
    return [module.__dict__.get("forward") for module in model.modules()]


@each_module
def test_pickled_layer_leaves_the_watch_behind(module: object) -> None:
    model, x = nn.Sequential(module.LSTM(3, 4)), torch.zeros(2, 1, 3)  # type: ignore[attr-defined]
    with gw.record(model) as recording:
        model(x)
        copied = pickle.loads(pickle.dumps(model))
        copied(x)
        assert len(recording["0"].calls) == 1
    assert copied[0].forward.__self__ is copied[0]
    assert_bit_equal(copied(x)[0], model(x)[0])


def test_record_leaves_nothing_to_the_garbage_collector() -> None:
    layer = gw.nn.LSTM(3, 4)

    def record() -> None:
        with gw.record(layer):
            layer(torch.zeros(2, 1, 3))[0].sum().backward()

    record()
    while gc.collect():  # what other tests have left may take several rounds
        pass
    gc.disable()
    try:
        record()
        assert gc.collect() == 0
    finally:
        gc.enable()


@each_module
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_record_leaves_loss_gradients_and_dropout_masks_as_they_were(module: object, dropout: float) -> None:
    expected = train_once(Classifier(module, dropout))
    model = Classifier(module, dropout)
    with gw.record(model):
        actual = train_once(model)
    assert_bit_equal(actual.pop("generator"), expected.pop("generator"))
    for name, value in expected.items():
        assert_close(actual[name], value, "gradient", name)
        assert_fails(assert_close, actual[name], spoilt(value), "gradient")


@each_module
def test_record_names_layers_as_the_model_does(module: object) -> None:
    model = Classifier(module)
    with gw.record(model) as recording:
        train_once(model)
    assert list(recording) == NAMES
    assert len(recording) == 2
    assert not recording.skipped
    assert recording["encoder.inner"].hidden_gradient.shape == (4, 7, 3, 5)
    assert recording["decoder"].hidden_gradient.shape == (1, 7, 3, 6)
    assert list(recording["decoder"].gates) == ["reset_gate", "update_gate", "new_gate"]
    with pytest.raises(KeyError, match=r"encoder\.inner"):
        recording["encoder"]


@each_module
def test_record_of_several_calls_lists_them(module: object) -> None:
    model = Classifier(module)
    with gw.record(model) as recording:
        for scale in (1.0, 2.0):
            model(scale * model.inputs()).square().sum().backward()
    calls = recording["decoder"].calls
    assert len(calls) == 2
    for name in ("hidden_gradient", "hidden_gradient_norm", "cell_gradient", "cell_gradient_norm", "gates", "trace"):
        with pytest.raises(RuntimeError, match=r"2 times; choose one from \.calls"):
            getattr(recording["decoder"], name)
    for call, scale in zip(calls, (1.0, 2.0), strict=True):
        alone = Classifier(module)
        with gw.record(alone) as single:
            alone(scale * alone.inputs()).square().sum().backward()
        assert_bit_equal(call.hidden_gradient, single["decoder"].hidden_gradient)
        assert_bit_equal(call.gates["reset_gate"], single["decoder"].gates["reset_gate"])
    assert_fails(assert_bit_equal, calls[0].hidden_gradient, calls[1].hidden_gradient)


@each_module
@pytest.mark.parametrize("gradients", [True, "norms"])
def test_record_of_a_loop_holds_each_step_alone_when_it_is_cleared(module: object, gradients: bool | str) -> None:
    model, norms = Classifier(module), []
    with gw.record(model, gates=False, gradients=gradients) as recording:
        decoder = recording["decoder"]
        for scale in (1.0, 2.0):
            model(scale * model.inputs()).square().sum().backward()
            norms.append(decoder.hidden_gradient_norm)
            kept = decoder.calls
            recording.clear()
        assert list(recording) == NAMES
        assert decoder.calls == []
        with pytest.raises(RuntimeError, match="not called since"):
            _ = decoder.hidden_gradient_norm
        assert_bit_equal(kept[0].hidden_gradient_norm, norms[1])  # what was read stays
        model(model.inputs())
        assert len(decoder.calls) == 1
        assert len(kept) == 1
    for norm, scale in zip(norms, (1.0, 2.0), strict=True):
        alone = Classifier(module)
        with gw.record(alone, gates=False, gradients=gradients) as single:
            alone(scale * alone.inputs()).square().sum().backward()
        assert_bit_equal(norm, single["decoder"].hidden_gradient_norm)


@pytest.mark.parametrize("gradients", [True, "norms"])
def test_record_keeps_no_cleared_call_alive_and_asks_nothing_of_it(gradients: bool | str) -> None:
    layer = gw.nn.LSTM(3, 4)
    with gw.record(layer) as outer, gw.record(layer, gradients=gradients) as recording:  # type: ignore[arg-type]
        output, _ = layer(torch.zeros(2, 1, 3))
        output.sum().backward(retain_graph=True)
        call = weakref.ref(recording[""].calls[0])
        totals = weakref.ref(recording[""].calls[0]._totals)  # type: ignore[union-attr]
        assert call() is not None
        recording.clear()
        assert call() is None
        assert totals() is None  # although the loss is here still
        output.sum().backward()  # the second backward pass, which norms would refuse
        assert recording[""].calls == []
    assert outer[""].hidden_gradient.shape == (1, 2, 1, 4)


@each_module
@pytest.mark.parametrize("fails", [False, True], ids=["ends", "raises"])
def test_record_puts_the_model_back(module: object, fails: bool) -> None:
    model = Classifier(module)
    before = [dict(part.__dict__) for part in model.modules()]

    def use() -> None:
        with gw.record(model):
            assert any(forward is not None for forward in forwards(model))  # negative control for `forwards`
            train_once(model)
            if fails:
                raise KeyError("the user's own")

    if fails:
        with pytest.raises(KeyError, match="own"):
            use()
    else:
        use()
    assert not any("forward" in part.__dict__ for part in model.modules())
    for part, attributes in zip(model.modules(), before, strict=True):
        assert part.__dict__.keys() - {"path"} == attributes.keys() - {"path"}
    assert_bit_equal(model(model.inputs()), Classifier(module)(model.inputs()))


def test_record_puts_back_a_forward_of_the_users_own() -> None:
    layer = build_layer(Problem("GRU"), torch.nn)
    own: Callable[..., object] = layer.forward
    layer.forward = own
    with gw.record(layer):
        layer(padded_inputs(Problem("GRU")))
    assert layer.__dict__["forward"] is own


@each_module
def test_record_lets_hooks_run(module: object) -> None:
    model, seen = Classifier(module), []
    model.decoder.register_forward_hook(lambda *_: seen.append("after"))
    with gw.record(model):
        train_once(model)
    assert seen == ["after"]


def test_record_skips_and_names_a_subclass_with_its_own_forward() -> None:
    model = nn.ModuleDict({"own": OwnForward(4, 5), "plain": nn.GRU(4, 5)})
    x = torch.randn(7, 3, 4)
    expected = model["own"](x)[0]
    with gw.record(model) as recording:
        assert_bit_equal(model["own"](x)[0], expected)
        assert_fails(assert_bit_equal, nn.LSTM.forward(model["own"], x)[0], expected)
        model["plain"](x)[0].sum().backward()
    assert list(recording) == ["plain"]
    assert list(recording.skipped) == ["own"]
    assert "forward" in recording.skipped["own"]
    with pytest.raises(KeyError, match="own"):
        recording["own"]


@pytest.mark.parametrize("model", [nn.Linear(3, 2), OwnForward(4, 5)], ids=["linear", "own forward"])
def test_record_without_a_layer_to_watch_is_an_error(model: nn.Module) -> None:
    with pytest.raises(ValueError, match="no torch"), gw.record(model):
        pass


@pytest.mark.parametrize("problem", one_of_each(), ids=lambda problem: problem.id)
def test_record_can_leave_out_gates_or_gradients(problem: Problem) -> None:
    for gates, gradients in ((True, False), (False, True)):
        layer = build_layer(problem)
        with gw.record(layer, gates=gates, gradients=gradients) as recording:
            layer(padded_inputs(problem))[0].sum().backward()
        for name, is_kept in (("gates", gates), ("trace", gates), ("hidden_gradient", gradients)):
            if is_kept:
                getattr(recording[""], name)
            else:
                with pytest.raises(RuntimeError, match=f"{name.split('_')[-1].removesuffix('ient')}|gates=False"):
                    getattr(recording[""], name)


@each_module
def test_record_says_why_there_is_no_gradient(module: object) -> None:
    layer = build_layer(Problem("LSTM"), module)
    x = padded_inputs(Problem("LSTM"))
    with gw.record(layer) as recording:
        with pytest.raises(RuntimeError, match="not called since"):
            _ = recording[""].hidden_gradient
        output, _ = layer(x)
        with pytest.raises(RuntimeError, match="backward"):
            _ = recording[""].hidden_gradient
        with torch.no_grad():
            layer(x)
    with pytest.raises(RuntimeError, match="grad"):
        _ = recording[""].calls[1].hidden_gradient
    output.sum().backward()  # a backward pass after the context counts too
    assert recording[""].calls[0].hidden_gradient.shape == (1, 7, 3, 5)


@each_module
def test_record_keeps_the_calls_signature(module: object) -> None:
    """Arguments by position and by name mean the same inside the context, and torch.nn still knows no `lengths`."""
    problem = Problem("GRU")
    layer, x = build_layer(problem, module), padded_inputs(problem)
    h_0 = torch.ones(1, 3, 5, dtype=torch.float64)
    expected = layer(x, h_0)[0]
    with gw.record(layer):
        assert_close(layer(input=x, hx=h_0)[0], expected, "output")
        assert_close(layer(x, h_0)[0], expected, "output")
        assert_fails(assert_close, layer(x)[0], expected, "output")
        if module is gw.nn:
            assert_close(layer(x, None, [7, 2, 0])[0], layer(x, lengths=[7, 2, 0])[0], "output")
        else:
            with pytest.raises(TypeError):
                layer(x, h_0, lengths=[7, 2, 0])


def test_record_of_a_path_shows_composite_or_native() -> None:
    layer = build_layer(Problem("GRU"))
    with gw.record(layer):
        layer(padded_inputs(Problem("GRU")))
    assert layer.path == ("composite" if _native.cpu_level() == "none" else "native")
