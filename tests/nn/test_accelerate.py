"""`gw.accelerate` and `gw.restore`: the same model and the same training, in place, and exactly back."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable

import pytest
import torch
from accelerated_models import RECURRENT, Seq2Seq, loss_of, tokens, train, twins
from models import OwnForward
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils import prune

import gatewise as gw
from gatewise import _native
from problems import Problem, build_layer, one_of_each, padded_inputs, random
from tolerances import assert_bit_equal, assert_close, assert_fails, spoilt

PATH = "native" if _native.cpu_level() != "none" else "torch"
each_kind = pytest.mark.parametrize("problem", one_of_each(num_layers=2, bidirectional=True), ids=lambda p: p.id)


def classes(model: nn.Module) -> list[type[nn.Module]]:
    return [type(model.get_submodule(name)) for name in RECURRENT]


def recurrent(model: nn.Module) -> list[nn.RNNBase]:
    return [module for module in model.modules() if isinstance(module, nn.RNNBase)]


# ---- the same model -------------------------------------------------------------------------------------------------


def test_accelerate_swaps_every_layer_and_names_it() -> None:
    model = Seq2Seq()
    swap = gw.accelerate(model)
    assert swap == gw.nn.Swap(RECURRENT, {})
    assert classes(model) == [gw.nn.LSTM, gw.nn.GRU, gw.nn.RNN]
    loss_of(model).backward()
    assert [layer.path for layer in recurrent(model)] == [PATH] * 3


@each_kind
def test_accelerate_keeps_the_objects_and_the_numbers(problem: Problem) -> None:
    layer, x = build_layer(problem, torch.nn), padded_inputs(problem)
    before, text, identity = dict(layer.state_dict()), repr(layer), [id(parameter) for parameter in layer.parameters()]
    expected = layer(x)[0].detach()
    gw.accelerate(layer)
    assert type(layer) is getattr(gw.nn, problem.cell)
    assert repr(layer) == text
    assert [id(parameter) for parameter in layer.parameters()] == identity
    assert list(layer.state_dict()) == list(before)
    assert_close(layer(x)[0].detach(), expected, "output")
    assert_fails(assert_close, layer(x)[0].detach(), spoilt(expected), "output")
    assert layer.trace(x).hidden.shape == (4, 7, 3, 5)
    assert layer(x, lengths=[3, 0, 7])[0].shape == expected.shape


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize(
    "optimizer",
    [lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), lambda p: torch.optim.Adam(p, lr=0.01)],
    ids=["sgd", "adam"],
)
@pytest.mark.parametrize("when", ["before", "midway"])
def test_accelerate_trains_like_the_original(
    optimizer: Callable[..., torch.optim.Optimizer], dropout: float, when: str
) -> None:
    """The optimizer was made before the swap and holds the very parameters."""
    original, model = twins(dropout)
    theirs, ours = optimizer(original.parameters()), optimizer(model.parameters())
    expected = train(original, theirs, 2) + train(original, theirs, 4)
    if when == "before":
        gw.accelerate(model)
    losses = train(model, ours, 2)
    gw.accelerate(model)
    losses += train(model, ours, 4)
    assert_close(torch.tensor(losses).double(), torch.tensor(expected).double(), "output")
    assert_fails(assert_close, torch.tensor(losses).double(), torch.tensor(expected[::-1]).double(), "output")
    for (name, actual), wanted in zip(model.named_parameters(), original.parameters(), strict=True):
        assert_close(actual.detach(), wanted.detach(), "gradient", name)
        assert_fails(assert_close, actual.detach(), spoilt(wanted), "gradient")
    untrained, _ = twins(dropout)
    for actual, wanted in zip(model.parameters(), untrained.parameters(), strict=True):
        assert_fails(assert_close, actual.detach(), wanted.detach(), "gradient")  # all of it was trained


def test_accelerate_lets_hooks_run_that_were_there_and_that_come_later() -> None:
    model, seen = Seq2Seq(), []
    names = {id(module): name for name, module in model.named_modules()}

    def hook(kind: str) -> Callable[..., None]:
        return lambda module, *_: seen.append((kind, names[id(module)]))

    model.encoder.register_forward_pre_hook(hook("pre"))
    model.decoder.register_full_backward_hook(hook("backward"))
    model.smoother.weight_hh_l0.register_hook(lambda _: seen.append(("gradient", "smoother")))
    gw.accelerate(model)
    model.encoder.register_forward_hook(hook("forward"))
    loss_of(model).backward()
    expected = [("pre", "encoder"), ("forward", "encoder"), ("gradient", "smoother"), ("backward", "decoder")]
    assert seen == expected
    gw.restore(model)
    loss_of(model).backward()
    assert seen == 2 * expected


def test_accelerate_can_be_recorded_and_measured() -> None:
    original, model = twins()
    gw.accelerate(model)
    recordings = []
    for each in (original, model):
        with gw.record(each) as recording:
            loss_of(each).backward()
        recordings.append(recording)
    for name in RECURRENT:
        theirs, ours = (recording[name].hidden_gradient for recording in recordings)
        assert_close(ours, theirs, "gradient")
        assert_fails(assert_close, ours, spoilt(theirs), "gradient")


def test_accelerate_per_sample_gradients() -> None:
    layer = nn.GRU(4, 5, dtype=torch.float64)
    gw.accelerate(layer)
    parameters = {name: value.detach() for name, value in layer.named_parameters()}

    def loss(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(layer, parameters, (x,))[0].square().sum()

    x = random((7, 3, 4), 2)
    per_sample = vmap(grad(loss), in_dims=(None, 1))(parameters, x)
    gw.restore(layer)
    for n in range(3):
        expected = torch.autograd.grad(layer(x[:, n])[0].square().sum(), tuple(layer.parameters()))
        for name, value in zip(parameters, expected, strict=True):
            assert_close(per_sample[name][n], value, "gradient", name)
            assert_fails(assert_close, per_sample[name][n], spoilt(value), "gradient")


# ---- exactly back ---------------------------------------------------------------------------------------------------


def state_of(model: nn.Module) -> list[tuple[type[nn.Module], dict[str, object]]]:
    """Return class and attributes of every module, lists and dicts copied."""
    return [
        (type(module), {key: copy.copy(value) for key, value in vars(module).items()}) for module in model.modules()
    ]


def test_restore_undoes_exactly() -> None:
    model = Seq2Seq()
    before, expected = state_of(model), loss_of(model).detach()
    gw.accelerate(model)
    assert state_of(model) != before
    loss_of(model)
    assert gw.restore(model) == gw.nn.Swap(RECURRENT, {})
    assert state_of(model) == before
    assert [list(attributes) for _, attributes in state_of(model)] == [list(attributes) for _, attributes in before]
    assert_bit_equal(loss_of(model).detach(), expected)
    assert gw.restore(model) == gw.nn.Swap((), {})


def test_restore_keeps_what_was_trained() -> None:
    model = Seq2Seq()
    gw.accelerate(model)
    train(model, torch.optim.SGD(model.parameters(), lr=0.1), 2)
    trained = {name: value.clone() for name, value in model.state_dict().items()}
    gw.restore(model)
    for name, value in model.state_dict().items():
        assert_bit_equal(value, trained[name])
    assert classes(model) == [nn.LSTM, nn.GRU, nn.RNN]


def test_restore_leaves_layers_that_were_made_as_gatewise_layers() -> None:
    model = nn.ModuleDict({"theirs": nn.LSTM(3, 5), "ours": gw.nn.GRU(3, 5)})
    swap = gw.accelerate(model)
    assert swap.swapped == ("theirs",)
    assert swap.skipped == {"ours": "GRU is gatewise's already"}
    swap = gw.restore(model)
    assert swap.swapped == ("theirs",)
    assert swap.skipped == {"ours": "was made as gatewise.nn.GRU, not by accelerate"}
    assert type(model["ours"]) is gw.nn.GRU
    assert type(model["theirs"]) is nn.LSTM


def test_restore_of_a_layer_parametrized_since_waits_until_that_is_undone() -> None:
    layer = nn.LSTM(4, 5)
    gw.accelerate(layer)
    nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    swap = gw.restore(layer)
    assert not swap.swapped
    assert "undo that first" in swap.skipped[""]
    nn.utils.parametrize.remove_parametrizations(layer, "weight_hh_l0")
    assert gw.restore(layer).swapped == ("",)
    assert type(layer) is nn.LSTM


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_restored_model_can_be_scripted() -> None:
    class Last(nn.Module):
        """A scripted layer has no forward of its own: torch calls it from a model's."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.LSTM(4, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x)[0]

    model, x = Last(), torch.randn(7, 3, 4)
    gw.accelerate(model)
    with pytest.raises((RuntimeError, AssertionError)):
        torch.jit.script(model)
    gw.restore(model)
    assert_bit_equal(torch.jit.script(model)(x), model(x))


# ---- in all places --------------------------------------------------------------------------------------------------


def test_accelerate_a_model_that_is_a_layer() -> None:
    layer = nn.GRU(4, 5)
    assert gw.accelerate(layer).swapped == ("",)
    assert type(layer) is gw.nn.GRU
    assert gw.restore(layer).swapped == ("",)


def test_accelerate_twice_does_nothing_more() -> None:
    model = Seq2Seq()
    gw.accelerate(model)
    before = state_of(model)
    swap = gw.accelerate(model)
    assert not swap.swapped
    assert set(swap.skipped) == set(RECURRENT)
    assert state_of(model) == before
    gw.restore(model)
    assert classes(model) == [nn.LSTM, nn.GRU, nn.RNN]


def test_accelerate_a_shared_layer_once_under_its_first_name() -> None:
    model = nn.ModuleDict({"first": nn.LSTM(4, 4), "other": nn.Linear(2, 2)})
    model["again"] = model["first"]
    assert gw.accelerate(model).swapped == ("first",)
    assert type(model["again"]) is gw.nn.LSTM
    assert gw.restore(model).swapped == ("first",)
    assert type(model["again"]) is nn.LSTM


def test_accelerate_part_of_a_model() -> None:
    model = Seq2Seq()
    assert gw.accelerate(model.decoder).swapped == ("",)
    assert classes(model) == [nn.LSTM, gw.nn.GRU, nn.RNN]
    assert gw.restore(model).swapped == ("decoder",)


def saved(model: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    loaded: nn.Module = torch.load(file, weights_only=False)
    return loaded


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model)), saved],
    ids=["deepcopy", "pickle", "save"],
)
def test_accelerated_copies_are_accelerated_and_can_be_restored(copied: Callable[[nn.Module], nn.Module]) -> None:
    model = Seq2Seq()
    gw.accelerate(model)
    expected = loss_of(model).detach()
    twin = copied(model)
    assert classes(twin) == classes(model)
    assert_bit_equal(loss_of(twin).detach(), expected)
    assert gw.restore(twin).swapped == RECURRENT
    assert classes(model) == [gw.nn.LSTM, gw.nn.GRU, gw.nn.RNN]
    assert_close(loss_of(twin).detach(), expected, "output")
    with torch.no_grad():
        twin.encoder.weight_hh_l0.mul_(0.5)
    assert_bit_equal(loss_of(model).detach(), expected)
    assert_fails(assert_close, loss_of(twin).detach(), expected, "output")


def test_accelerated_state_dict_loads_both_ways() -> None:
    (plain, _), model = twins(), Seq2Seq()
    gw.accelerate(model)
    assert_fails(assert_close, loss_of(model).detach(), loss_of(plain).detach(), "output")
    model.load_state_dict(plain.state_dict(), strict=True)
    assert_close(loss_of(model).detach(), loss_of(plain).detach(), "output")
    fresh = Seq2Seq()
    fresh.load_state_dict(model.state_dict(), strict=True)
    assert_bit_equal(loss_of(fresh).detach(), loss_of(plain).detach())


def test_accelerated_layer_is_no_instance_of_the_three_classes() -> None:
    """Dynamo refuses these; the documents say so."""
    model = Seq2Seq()
    gw.accelerate(model)
    for layer in recurrent(model):
        assert not isinstance(layer, (nn.RNN, nn.LSTM, nn.GRU))
    assert len(recurrent(model)) == 3


@each_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_accelerated_layer_moves_between_dtypes_and_modes(problem: Problem, dtype: torch.dtype) -> None:
    theirs, layer = build_layer(problem, torch.nn), build_layer(problem, torch.nn)
    gw.accelerate(layer)
    layer.eval()
    assert not layer.training
    layer.train().to(dtype)
    layer.flatten_parameters()
    names = layer._flat_weights_names
    assert all(weight is getattr(layer, name) for weight, name in zip(layer._flat_weights, names, strict=True))
    assert [len(weights) for weights in layer.all_weights] == [4] * 4
    x = padded_inputs(problem, dtype)
    expected = theirs.to(dtype)(x)[0].detach()
    actual = layer(x)[0].detach()
    if dtype == torch.float32:
        assert layer.path == PATH
        assert_close(actual, expected, "output")
        assert_fails(assert_close, actual, spoilt(expected), "output")
    else:
        assert layer.path == "torch"
        assert_bit_equal(actual, expected)
        assert_fails(assert_bit_equal, actual, expected + 0.1)
    assert type(layer.double()) is getattr(gw.nn, problem.cell)


def test_accelerate_inside_data_parallel() -> None:
    original, model = twins()
    wrapped = nn.DataParallel(model)
    assert gw.accelerate(wrapped).swapped == tuple(f"module.{name}" for name in RECURRENT)
    assert_close(wrapped(*tokens()).detach(), original(*tokens()).detach(), "output")
    layer = nn.LSTM(4, 5, dtype=torch.float64)
    gw.accelerate(layer)
    replica, x = layer._replicate_for_data_parallel(), random((7, 3, 4), 2)
    for name, parameter in layer.named_parameters():
        setattr(replica, name, parameter * 1)  # a replica's weights are copies on another device, and no parameters
    replica(x)[0].sum().backward()
    gradient, layer.weight_hh_l0.grad = layer.weight_hh_l0.grad, None
    layer(x)[0].sum().backward()
    assert_close(gradient, layer.weight_hh_l0.grad, "gradient")
    assert_fails(assert_close, gradient, spoilt(layer.weight_hh_l0.grad), "gradient")


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # Dynamo's own
@pytest.mark.parametrize("when", ["never called", "called before"])
@pytest.mark.parametrize("form", ["torch.compile", "model.compile"])
def test_accelerate_a_compiled_model(form: str, when: str) -> None:
    """Its compiled code notices the other class and is made anew."""
    layer = nn.GRU(4, 5, dtype=torch.float64)
    model, x = nn.Sequential(nn.Linear(4, 4, dtype=torch.float64), layer), random((7, 3, 4), 2)
    expected = model(x)[0].detach()
    if form == "torch.compile":
        compiled = torch.compile(model, backend="eager")
    else:
        model.compile(backend="eager")
        compiled = model
    if when == "called before":
        compiled(x)
    prefix = "_orig_mod." if form == "torch.compile" else ""
    assert gw.accelerate(compiled).swapped == (f"{prefix}1",)
    assert_close(compiled(x)[0].detach(), expected, "output")
    assert layer.path is not None
    assert gw.restore(compiled).swapped == (f"{prefix}1",)
    assert_close(compiled(x)[0].detach(), expected, "output")
    assert "path" not in vars(layer)
    assert_fails(assert_close, compiled(x + 1)[0].detach(), expected, "output")


# ---- what is skipped ------------------------------------------------------------------------------------------------


class Renamed(nn.GRU):
    """A subclass that only has another name."""


class LazyGRU(LazyModuleMixin, nn.GRU):
    """A layer that would wait for its first input; torch.nn itself has no lazy recurrent layer."""


def _with(layer: nn.Module, **attributes: object) -> nn.Module:
    for name, value in attributes.items():
        setattr(layer, name, value)
    return layer


SKIPPED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "subclass": (lambda: OwnForward(4, 5), "OwnForward has code of its own"),
    "subclass by name": (lambda: Renamed(4, 5), "Renamed has code of its own"),
    "lazy": (lambda: LazyGRU(4, 5), "LazyGRU has code of its own"),
    "parametrized": (
        lambda: nn.utils.parametrizations.weight_norm(nn.LSTM(4, 5), "weight_hh_l0"),
        "ParametrizedLSTM has parametrized weights",
    ),
    "spectral norm by hook": (
        lambda: nn.utils.spectral_norm(nn.GRU(4, 5), "weight_hh_l0"),
        "a hook computes weight_hh_l0",
    ),
    "weight norm by hook": (
        lambda: nn.utils.weight_norm(nn.LSTM(4, 5), "weight_hh_l0"),
        "a hook computes weight_hh_l0",
    ),
    "pruned": (lambda: prune.l1_unstructured(nn.RNN(4, 5), "weight_ih_l0", 0.5), "a hook computes weight_ih_l0"),
    "quantized": (
        lambda: torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.LSTM(4, 5)), {nn.LSTM})[0],
        "LSTM is quantized",
    ),
    "quantizable": (lambda: torch.ao.nn.quantizable.LSTM(4, 5), "LSTM is quantized"),
    "scripted": (lambda: torch.jit.script(nn.LSTM(4, 5)), "LSTM was compiled by torch.jit"),
    "traced": (lambda: torch.jit.trace(nn.GRU(4, 5), torch.zeros(3, 2, 4)), "GRU was compiled by torch.jit"),
    "own forward": (lambda: _with(nn.LSTM(4, 5), forward=lambda x: (2 * x, None)), "its forward was replaced"),
    "own path": (lambda: _with(nn.LSTM(4, 5), path="/data"), "an attribute 'path' of its own"),
    "LSTMCell": (lambda: nn.LSTMCell(4, 5), "one step at a time"),
    "gatewise cell": (lambda: gw.nn.GRUCell(4, 5), "GRUCell is gatewise's already"),
}


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning", "ignore:.*torch.ao.quantization:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning", "ignore:Lazy modules:UserWarning")
@pytest.mark.parametrize("name", SKIPPED)
def test_accelerate_skips_and_names_what_it_cannot_swap(name: str) -> None:
    make, reason = SKIPPED[name]
    model = nn.ModuleDict({"good": nn.GRU(4, 5), "odd": make()})
    kind, attributes = type(model["odd"]), dict(vars(model["odd"]))
    swap = gw.accelerate(model)
    assert swap.swapped == ("good",)
    assert reason in swap.skipped["odd"]
    assert type(model["odd"]) is kind
    assert dict(vars(model["odd"])) == attributes
    gw.restore(model)
    assert type(model["odd"]) is kind
    assert dict(vars(model["odd"])) == attributes


def test_accelerate_leaves_a_layer_that_is_being_recorded() -> None:
    layer, x = nn.LSTM(4, 5), torch.randn(7, 3, 4)
    with gw.record(layer) as recording:
        assert "forward was replaced" in gw.accelerate(layer).skipped[""]
        layer(x)[0].sum().backward()
    assert recording[""].hidden_gradient.shape == (1, 7, 3, 5)
    assert gw.accelerate(layer).swapped == ("",)


def test_restore_while_recording_puts_everything_back() -> None:
    layer, x = nn.LSTM(4, 5), torch.randn(7, 3, 4)
    before = state_of(layer)
    gw.accelerate(layer)
    with gw.record(layer) as recording:
        layer(x)
        gw.restore(layer)
        layer(x)[0].sum().backward()
    assert len(recording[""].calls) == 2
    assert state_of(layer) == before


def test_accelerate_a_model_without_recurrent_layers() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    assert gw.accelerate(model) == gw.restore(model) == gw.nn.Swap((), {})
    assert str(gw.accelerate(model)) == "swapped nothing"


def test_accelerate_takes_modules_only() -> None:
    for function in (gw.accelerate, gw.restore):
        with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module, got list"):
            function([nn.LSTM(3, 5)])


def test_swap_prints_one_line_for_what_was_swapped_and_one_for_each_that_was_not() -> None:
    model = nn.ModuleDict({"a": nn.LSTM(3, 5), "b": nn.ModuleDict({"c": nn.GRU(3, 5)}), "odd": OwnForward(3, 5)})
    assert str(gw.accelerate(model)).splitlines() == [
        "swapped 2: a, b.c",
        "skipped odd: OwnForward has code of its own, which would be lost",
    ]
    assert str(gw.accelerate(nn.LSTM(3, 5))) == "swapped 1: the model itself"
    assert str(gw.accelerate(OwnForward(3, 5))).splitlines()[1].startswith("skipped the model itself: OwnForward")
