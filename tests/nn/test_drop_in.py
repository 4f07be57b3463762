"""What makes the layers drop-ins: parameters, state_dict, copies, dtypes, modes."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
import re

import numpy as np
import pytest
import torch

import gatewise as gw
from problems import KINDS, Problem, build_layer, build_pair, one_of_each, padded_inputs
from tolerances import assert_bit_equal, assert_close, assert_fails, spoilt

VARIED = (
    *one_of_each(num_layers=2, bidirectional=True),
    *one_of_each(bias=False),
    Problem("LSTM", num_layers=2, bidirectional=True, proj_size=3),
)
each_problem = pytest.mark.parametrize("problem", VARIED, ids=lambda problem: problem.id)


@each_problem
def test_state_dict_loads_both_ways_strictly(problem: Problem) -> None:
    for source, target in ((torch.nn, gw.nn), (gw.nn, torch.nn)):
        from_layer, to_layer = build_layer(problem, source, seed=1), build_layer(problem, target, seed=2)
        x = padded_inputs(problem)
        assert_fails(assert_close, to_layer(x)[0], from_layer(x)[0], "output")
        assert list(to_layer.state_dict()) == list(from_layer.state_dict())
        result = to_layer.load_state_dict(from_layer.state_dict(), strict=True)
        assert not result.missing_keys
        assert not result.unexpected_keys
        assert_close(to_layer(x)[0], from_layer(x)[0], "output")


@each_problem
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_initial_parameters_are_those_of_torch_under_the_same_seed(problem: Problem, dtype: torch.dtype) -> None:
    torch.manual_seed(3)
    theirs = getattr(torch.nn, problem.cell)(**problem.options, dtype=dtype)
    torch.manual_seed(3)
    ours = getattr(gw.nn, problem.cell)(**problem.options, dtype=dtype)
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    for name, parameter in theirs.named_parameters():
        assert_bit_equal(getattr(ours, name).detach(), parameter.detach(), name)
    torch.manual_seed(3)
    ours.reset_parameters()
    assert_bit_equal(ours.weight_hh_l0.detach(), theirs.weight_hh_l0.detach())
    other = getattr(gw.nn, problem.cell)(**problem.options, dtype=dtype)
    assert_fails(assert_bit_equal, other.weight_hh_l0.detach(), theirs.weight_hh_l0.detach())


@each_problem
def test_deepcopy_computes_the_same_and_shares_nothing(problem: Problem) -> None:
    layer, x = build_layer(problem), padded_inputs(problem)
    expected = layer(x)[0].detach()
    twin = copy.deepcopy(layer)
    assert_bit_equal(twin(x)[0].detach(), expected)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(0.5)
    assert_bit_equal(layer(x)[0].detach(), expected)
    assert_fails(assert_bit_equal, twin(x)[0].detach(), expected)
    assert_fails(assert_bit_equal, twin.trace(x).output.detach(), layer.trace(x).output.detach())


@each_problem
def test_pickle_and_saved_state_dict_bring_the_layer_back(problem: Problem) -> None:
    layer, x = build_layer(problem), padded_inputs(problem)
    layer(x)
    assert_bit_equal(pickle.loads(pickle.dumps(layer))(x)[0], layer(x)[0])
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    fresh = build_layer(problem, seed=7)
    assert_fails(assert_bit_equal, fresh(x)[0], layer(x)[0])
    fresh.load_state_dict(torch.load(file, weights_only=True))
    assert_bit_equal(fresh(x)[0], layer(x)[0])


@each_problem
def test_to_float64_moves_the_computation(problem: Problem) -> None:
    theirs, ours = build_pair(problem, torch.float32)
    x = padded_inputs(problem)
    ours(x.float())
    expected = theirs.to(torch.float64)(x)[0]
    ours = ours.to(torch.float64)
    for output in (ours(x)[0], ours.trace(x).output):
        assert_close(output, expected, "output")
        assert_fails(assert_close, output, build_layer(problem)(x.float().double() + 1e-5)[0], "output")


@each_problem
def test_replaced_parameter_is_used(problem: Problem) -> None:
    theirs, ours = build_pair(problem)
    x = padded_inputs(problem)
    before = ours(x)[0].detach()
    for layer in (theirs, ours):
        layer.weight_hh_l0 = torch.nn.Parameter(layer.weight_hh_l0.detach() * 0.3)
    for output in (ours(x)[0], ours.trace(x).output):
        assert_close(output, theirs(x)[0], "output")
        assert_fails(assert_close, output, before, "output")


@each_problem
def test_no_grad_and_frozen_parameters_build_no_graph(problem: Problem) -> None:
    layer, x = build_layer(problem), padded_inputs(problem)
    expected = layer(x)[0]
    assert expected.requires_grad
    with torch.no_grad():
        assert not layer(x)[0].requires_grad
        assert_close(layer(x)[0], expected, "output")
    with torch.inference_mode():
        assert_close(layer(x)[0].clone(), expected, "output")
        assert_close(layer.trace(x).output.clone(), expected, "output")
    layer.requires_grad_(requires_grad=False)
    assert not layer(x)[0].requires_grad
    assert_fails(assert_close, layer(x)[0], spoilt(expected), "output")


@each_problem
def test_frozen_parameters_pass_the_gradient_to_the_input(problem: Problem) -> None:
    gradients = []
    for layer in build_pair(problem):
        layer.requires_grad_(requires_grad=False)
        x = padded_inputs(problem).requires_grad_()
        layer(x)[0].square().sum().backward()
        gradients.append(x.grad)
    assert_close(gradients[1], gradients[0], "gradient")
    assert_fails(assert_close, gradients[1], spoilt(gradients[0]), "gradient")


@each_problem
def test_second_derivatives_agree_with_torch(problem: Problem) -> None:
    gradients = []
    for layer in build_pair(problem):
        x = padded_inputs(problem).requires_grad_()
        (first,) = torch.autograd.grad(layer(x)[0].square().sum(), x, create_graph=True)
        gradients.append(torch.autograd.grad(first.square().sum(), layer.weight_hh_l0)[0])
    assert_close(gradients[1], gradients[0], "gradient")
    assert_fails(assert_close, gradients[1], spoilt(gradients[0]), "gradient")


@pytest.mark.parametrize("problem", one_of_each(), ids=lambda problem: problem.id)
def test_bfloat16_and_autocast_take_the_path_of_torch(problem: Problem) -> None:
    theirs, ours = build_pair(problem, torch.float32)
    x = padded_inputs(problem, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        try:
            expected = theirs(x)[0]
        except RuntimeError as refusal:  # oneDNN has no LSTM for autocast on every CPU
            with pytest.raises(RuntimeError, match=re.escape(str(refusal)[:40])):
                ours(x)
        else:
            assert_bit_equal(ours(x)[0], expected)
            assert_fails(assert_bit_equal, ours(x + 1)[0], expected)
    assert ours.path == "torch"
    expected = theirs.bfloat16()(x.bfloat16())[0]
    assert_bit_equal(ours.bfloat16()(x.bfloat16())[0], expected)
    assert ours.path == "torch"
    assert_fails(assert_bit_equal, ours(x.bfloat16() + 1)[0], expected)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind["cell"] + kind.get("nonlinearity", ""))
def test_layer_is_rnn_base_with_the_options_of_torch(kind: dict[str, str]) -> None:
    problem = Problem(**kind, num_layers=2, bidirectional=True, batch_first=True, dropout=0.25)
    theirs, ours = build_pair(problem)
    assert isinstance(ours, torch.nn.RNNBase)
    assert not isinstance(ours, (torch.nn.RNN, torch.nn.LSTM, torch.nn.GRU))
    for name in theirs.__constants__:
        assert getattr(ours, name) == getattr(theirs, name), name
    assert repr(ours) == repr(theirs)
    names = list(inspect.signature(ours.forward).parameters)
    assert names == ["input", "hx", "lengths"]


def test_sizes_may_be_integers_of_numpy() -> None:
    sizes = {"num_layers": np.int64(2), "proj_size": np.int64(3)}
    theirs, ours = torch.nn.LSTM(4, 8, **sizes), gw.nn.LSTM(4, 8, **sizes)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(5, 2, 4)
    with gw.record(ours) as recording:
        output = ours(x)[0]
        output.sum().backward()
    theirs(x)[0].sum().backward()
    assert_close(output, theirs(x)[0], "output")
    assert_close(ours.weight_hr_l0.grad, theirs.weight_hr_l0.grad, "gradient", "weight_hr_l0")
    assert recording[""].hidden_gradient.shape == (2, 5, 2, 3)


def test_positional_options_mean_what_they_mean_in_torch() -> None:
    theirs, ours = (module.RNN(3, 5, 2, "relu", False, True, 0.1, True) for module in (torch.nn, gw.nn))
    assert repr(ours) == repr(theirs)
    assert ours.mode == theirs.mode == "RNN_RELU"
    for name in ("LSTM", "GRU"):
        theirs, ours = (getattr(module, name)(3, 5, 2, False, True, 0.1, True) for module in (torch.nn, gw.nn))
        assert repr(ours) == repr(theirs)
