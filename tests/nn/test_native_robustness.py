"""What callers may do to the native path: change their tensors, wrong shapes, autocast, odd cotangents."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from node_observer import NodeObserver
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.utils.rnn import pack_padded_sequence

import gatewise as gw
from gatewise import _native
from gatewise.nn.observe import observed
from gatewise.nn.recorded_gradients import NodeGradients
from problems import Problem, as_hx, build_layer, build_pair, initial_states, one_of_each, padded_inputs, random
from tolerances import assert_close, assert_fails, spoilt

pytestmark = pytest.mark.skipif(_native.cpu_level() == "none", reason="this machine has no native kernels")
each_kind = pytest.mark.parametrize("problem", one_of_each(), ids=lambda problem: problem.id)


def test_native_lengths_may_be_strided_and_change_after_the_call() -> None:
    layer, x = build_layer(Problem("GRU")), padded_inputs(Problem("GRU")).requires_grad_()
    expected = torch.autograd.grad(layer(x, lengths=[3, 1, 7])[0].sum(), x)[0]
    strided = torch.tensor([3, 99, 1, 99, 7, 99])[::2]
    output = layer(x, lengths=strided)[0]
    strided.fill_(1000)
    actual = torch.autograd.grad(output.sum(), x)[0]
    assert torch.equal(actual, expected)
    assert not torch.equal(torch.autograd.grad(layer(x, lengths=[3, 2, 7])[0].sum(), x)[0], expected)


@each_kind
@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"])
def test_native_weight_of_a_wrong_shape_is_refused_as_torch_refuses_it(problem: Problem, name: str) -> None:
    layer, x = build_layer(problem), padded_inputs(problem)
    wrong = getattr(layer, name).detach()[..., :-1]
    setattr(layer, name, torch.nn.Parameter(wrong.clone()))
    with pytest.raises(RuntimeError, match=r"size|shape"):
        layer(x)


@each_kind
def test_native_default_device_is_not_the_kernels_business(problem: Problem) -> None:
    layer, x = build_layer(problem), padded_inputs(problem).requires_grad_()
    expected = torch.autograd.grad(layer(x, lengths=[3, 0, 7])[0].sum(), x)[0]
    with torch.device("meta"):
        actual = torch.autograd.grad(layer(x, lengths=[3, 0, 7])[0].sum(), x)[0]
    assert layer.path == "native"
    assert torch.equal(actual, expected)


@each_kind
@pytest.mark.parametrize("needs_grad", [False, True])
def test_native_input_kept_from_a_transform_that_is_over_is_an_input(problem: Problem, needs_grad: bool) -> None:
    """It is a wrapper of its own kind, whose memory nobody can see."""
    layer, x, kept = build_layer(problem), padded_inputs(problem), []
    torch.func.grad(lambda inside: (kept.append(inside), inside.sum())[1])(x)
    with torch.set_grad_enabled(needs_grad):
        actual, expected = layer(kept[0])[0], layer(x)[0]
    assert_close(actual, expected, "output")
    assert_fails(assert_close, actual, spoilt(expected), "output")


@each_kind
def test_native_gradient_inside_a_transform_of_a_call_outside_says_so(problem: Problem) -> None:
    layer, x = build_layer(problem), padded_inputs(problem).requires_grad_()
    output = layer(x)[0]

    def square_norm(cotangent: Tensor) -> Tensor:
        return torch.autograd.grad(output, x, cotangent, retain_graph=True)[0].square().sum()

    with pytest.raises(RuntimeError, match="call the layer inside the transform too"):
        torch.func.grad(square_norm)(torch.ones_like(output))
    assert square_norm(torch.ones_like(output)) > 0


@pytest.mark.filterwarnings(
    "ignore:`torch.jit.script` is deprecated:DeprecationWarning"
)  # torch's own forward-mode decompositions
@each_kind
def test_native_backward_of_a_dual_cotangent_has_its_tangent(problem: Problem) -> None:
    layer, x = build_layer(problem), padded_inputs(problem).requires_grad_()
    output = layer(x)[0]
    tangent = random(output.shape, 3)
    expected = torch.autograd.grad(output, x, tangent, retain_graph=True)[0]
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(torch.ones_like(output), tangent)
        actual = forward_ad.unpack_dual(torch.autograd.grad(output, x, dual)[0]).tangent
    assert actual is not None
    assert_close(actual, expected, "gradient")
    assert_fails(assert_close, actual, spoilt(expected), "gradient")


@each_kind
def test_native_input_without_memory_takes_torchs_path(problem: Problem) -> None:
    layer, x = build_layer(problem), padded_inputs(problem)
    assert_close(layer(torch._efficientzerotensor(x.shape, dtype=x.dtype))[0], layer(torch.zeros_like(x))[0], "output")


@each_kind
def test_native_backward_inside_autocast_keeps_its_precision(problem: Problem) -> None:
    layer, x = build_layer(problem, dtype=torch.float32), padded_inputs(problem, torch.float32).requires_grad_()
    loss = layer(x)[0].sum()
    expected = torch.autograd.grad(loss, [x, *layer.parameters()], retain_graph=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = torch.autograd.grad(loss, [x, *layer.parameters()])
    for a, e in zip(actual, expected, strict=True):
        assert torch.equal(a, e)


@each_kind
def test_native_batched_cotangents_give_the_jacobian(problem: Problem) -> None:
    layer, x = build_layer(problem), padded_inputs(problem)[:2]

    def last(value: Tensor) -> Tensor:
        output: Tensor = layer(value)[0][-1]
        return output

    batched = torch.autograd.functional.jacobian(last, x, vectorize=True)
    assert layer.path == "native"
    expected = torch.autograd.functional.jacobian(last, x)
    assert_close(batched, expected, "gradient")
    assert_fails(assert_close, batched, spoilt(expected), "gradient")


@each_kind
def test_native_negated_cotangent_is_read_with_its_sign(problem: Problem) -> None:
    layer, x = build_layer(problem), padded_inputs(problem).requires_grad_()
    output = layer(x)[0]
    cotangent = random(tuple(output.shape), 7)
    negated = torch._neg_view(cotangent)
    assert negated.is_neg()
    actual = torch.autograd.grad(output, x, negated, retain_graph=True)[0]
    assert torch.equal(actual, torch.autograd.grad(output, x, -cotangent, retain_graph=True)[0])
    assert not torch.equal(actual, torch.autograd.grad(output, x, cotangent)[0])


@each_kind
def test_native_nan_in_the_state_of_an_empty_sequence_stays_there(problem: Problem) -> None:
    layer, x = build_layer(problem), padded_inputs(problem)
    states = [state.clone() for state in initial_states(problem)]
    states[0][:, 1] = torch.nan
    output, _ = layer(x, as_hx(problem, tuple(states)), lengths=[3, 0, 7])
    output.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())
    states[0][:, 0] = torch.nan  # negative control: a sequence that runs does spread it
    layer(x, as_hx(problem, tuple(states)), lengths=[3, 0, 7])[0].sum().backward()
    assert not layer.weight_hh_l0.grad.isfinite().all()


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
@pytest.mark.parametrize("problem", one_of_each(num_steps=4), ids=lambda problem: problem.id)
def test_native_non_finite_cotangents_pass_as_in_torch(problem: Problem, value: float) -> None:
    """Relu selects: its slope zero times an infinite gradient is no NaN."""
    theirs, ours = build_pair(problem)
    x = padded_inputs(problem)
    found = []
    for layer in (theirs, ours):
        arguments = x.clone().requires_grad_()
        output = layer(arguments)[0]
        cotangent = random(tuple(output.shape), 7)
        cotangent[-1, 1] = value
        found.append(torch.autograd.grad(output, arguments, cotangent)[0])
    assert torch.equal(found[1].isnan(), found[0].isnan())
    assert_close(found[1], found[0], "gradient")


@each_kind
def test_native_saved_tensors_may_come_back_with_other_strides(problem: Problem) -> None:
    layer, x = build_layer(problem), padded_inputs(problem).requires_grad_()
    expected = torch.autograd.grad(layer(x)[0].sum(), x)[0]
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor.mT if tensor.dim() > 1 else tensor, _back)
    with hooks:
        output = layer(x)[0]
    actual = torch.autograd.grad(output.sum(), x)[0]
    assert_close(actual, expected, "gradient")
    assert_fails(assert_close, actual, spoilt(expected), "gradient")


def _back(packed: Tensor) -> Tensor:
    return packed.contiguous().mT if packed.dim() > 1 else packed


def test_native_packed_input_whose_batch_sizes_lie_is_refused() -> None:
    """The kernels find rows by them: torch refuses such input as well."""
    layer = build_layer(Problem("LSTM"))
    packed = pack_padded_sequence(padded_inputs(Problem("LSTM"))[:, :2], torch.tensor([7, 3]))
    for wrong in (packed._replace(data=packed.data[:-1]), packed._replace(batch_sizes=packed.batch_sizes.flip(0))):
        with pytest.raises(RuntimeError, match="Expected batch_sizes that descend and sum to"):
            layer(wrong)


def test_native_trace_of_a_recording_stays_when_the_user_writes_into_results_and_states() -> None:
    problem = Problem("GRU")
    layer, h_0 = build_layer(problem), initial_states(problem)[0].clone()
    with torch.no_grad(), gw.record(layer) as recording:
        output, h_n = layer(padded_inputs(problem), h_0)
        expected = layer.trace(padded_inputs(problem), h_0).hidden.clone(), h_0.clone(), h_n.clone()
        for tensor in (output, h_0, h_n):
            tensor.zero_()
    trace = recording[""].trace
    for actual, wanted in zip((trace.hidden, trace.h_0, trace.h_n), expected, strict=True):
        assert torch.equal(actual, wanted)
        assert (wanted != 0).any()


def test_native_recording_follows_a_gradient_penalty() -> None:
    """What the second pass sends through the gradient of the first reaches the nodes as well."""
    problem = Problem("GRU", has_initial_state=False)
    found = []
    seen: list[NodeGradients] = []
    for is_native in (True, False):
        layer, x = build_layer(problem), padded_inputs(problem).requires_grad_()
        watch = observed([(layer, NodeObserver(seen))], None)
        with gw.record(layer) as recording, nullcontext() if is_native else watch:
            output = layer(x)[0]
            assert layer.path == ("native" if is_native else "composite")
            (gradient,) = torch.autograd.grad(output.square().sum(), x, create_graph=True)
            (output.pow(3).sum() + gradient.square().sum()).backward()
        found.append(recording[""].hidden_gradient)
    assert_close(found[0], found[1], "gradient")
    assert_fails(assert_close, found[0], spoilt(found[1]), "gradient")


@pytest.mark.parametrize("gradients", [True, "norms"])
def test_native_recording_of_a_row_that_no_gradient_reached_is_zero_there(gradients: bool | str) -> None:
    """Whatever device new tensors go to when it is read."""
    problem = Problem("GRU", num_layers=2, has_initial_state=False)
    layer, x = build_layer(problem), padded_inputs(problem)
    with gw.record(layer, gradients=gradients) as recording:
        output = layer(x)[0]
    torch.autograd.grad(output.sum(), layer.weight_ih_l1)
    with torch.device("meta"):
        norms = recording[""].hidden_gradient_norm
    assert (norms[0] == 0).all()
    assert (norms[1] > 0).all()


def test_native_recording_refuses_what_it_cannot_hold() -> None:
    problem = Problem("GRU")
    layer, x = build_layer(problem), padded_inputs(problem).requires_grad_()
    with gw.record(layer, gradients="norms") as recording:
        output = layer(x)[0]

    def differentiable() -> None:
        torch.autograd.grad(output.sum(), x, create_graph=True)

    def batched() -> None:
        cotangents = torch.ones(2, *output.shape, dtype=x.dtype)
        torch.autograd.grad(output, x, cotangents, is_grads_batched=True, retain_graph=True)

    with pytest.raises(RuntimeError, match="cannot follow create_graph"):
        differentiable()
    with pytest.raises(RuntimeError, match="cannot hold batched gradients"):
        batched()
    recording.clear()  # then nobody asks
    differentiable()
    batched()
