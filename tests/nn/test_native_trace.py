"""Traces and recordings on the native path: they equal the composite path's, and leave the user's run as it was."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from node_observer import NodeObserver
from torch import Tensor

import gatewise as gw
from gatewise import _native
from gatewise.nn.call import read_call
from gatewise.nn.composite import run_composite
from gatewise.nn.observe import observed
from gatewise.nn.trace import trace_of_composite
from problems import (
    PROBLEMS,
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
    random,
)
from tolerances import assert_bit_equal, assert_close, assert_fails, spoilt

pytestmark = pytest.mark.skipif(_native.cpu_level() == "none", reason="this machine has no native kernels")
SEVERAL = {"num_layers": 2, "bidirectional": True, "num_sequences": 4, "lengths": (2, 7, 4, 7)}
CASES = (
    *one_of_each(),
    *one_of_each(**SEVERAL),
    *one_of_each(**SEVERAL, is_packed=True),
    Problem("LSTM", proj_size=3),
    Problem("LSTM", **SEVERAL, proj_size=3),
    Problem("LSTM", **SEVERAL, proj_size=3, is_packed=True),
)
each_case = pytest.mark.parametrize("problem", CASES, ids=lambda problem: problem.id)


def arguments_of(problem: Problem, dtype: torch.dtype = torch.float64) -> tuple[object, object, object]:
    x = as_input(problem, padded_inputs(problem, dtype))
    return x, as_hx(problem, initial_states(problem, dtype)), as_lengths(problem)


def composite_trace(layer: gw.nn.RNN, problem: Problem) -> gw.nn.Trace:
    return trace_of_composite(layer, run_composite(layer, read_call(layer, *arguments_of(problem))))


def tensors_of(trace: gw.nn.Trace) -> dict[str, Tensor]:
    found = {"hidden": trace.hidden, "h_n": trace.h_n, **trace.gates}
    return found if trace.cell is None else {**found, "cell": trace.cell, "c_n": trace.c_n}


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.id)
def test_native_trace_equals_the_composite_trace(problem: Problem) -> None:
    layer = build_layer(problem)
    torch.manual_seed(3)  # of the dropout
    native = layer.trace(*arguments_of(problem))
    assert layer.path == "native"
    torch.manual_seed(3)
    expected = tensors_of(composite_trace(layer, problem))
    assert tensors_of(native).keys() == expected.keys()
    for name, value in tensors_of(native).items():
        assert_close(value, expected[name], "output", name)
        assert_fails(assert_close, value, spoilt(expected[name]), "output", name)


@each_case
def test_native_trace_is_differentiable_in_every_gate_and_state(problem: Problem) -> None:
    layer = build_layer(problem)
    gradients = []
    for make in (lambda: layer.trace(*arguments_of(problem)), lambda: composite_trace(layer, problem)):
        loss = loss_of(*tensors_of(make()).values())
        gradients.append(torch.autograd.grad(loss, list(layer.parameters())))
    for actual, expected in zip(*gradients, strict=True):
        assert_close(actual, expected, "gradient")
        assert_fails(assert_close, actual, spoilt(expected), "gradient")


@pytest.mark.parametrize("problem", one_of_each(num_steps=3, hidden_size=2, input_size=2), ids=lambda p: p.id)
def test_native_trace_has_second_derivatives(problem: Problem) -> None:
    layer, x = build_layer(problem), padded_inputs(problem).requires_grad_()

    def values(inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensors_of(layer.trace(inputs)).values())

    assert torch.autograd.gradcheck(values, (x,), fast_mode=True)
    assert torch.autograd.gradgradcheck(values, (x,), fast_mode=True)
    assert layer.path == "native"


def loss_through(problem: Problem, layer: gw.nn.RNN, dtype: torch.dtype) -> tuple[Tensor, tuple[Tensor, ...]]:
    output, final = layer(*arguments_of(problem, dtype))
    results = (as_padded(problem, output), *(final if isinstance(final, tuple) else (final,)))
    return loss_of(*results), results


@each_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gradients", [True, "norms"])
def test_native_recording_leaves_outputs_and_gradients_bit_equal(
    problem: Problem, dtype: torch.dtype, gradients: bool | str
) -> None:
    layer = build_layer(problem, dtype=dtype)
    loss, results = loss_through(problem, layer, dtype)
    loss.backward()
    expected = [parameter.grad.clone() for parameter in layer.parameters()]
    layer.zero_grad()
    with gw.record(layer, gradients=gradients):
        recorded_loss, recorded = loss_through(problem, layer, dtype)
        assert layer.path == "native"
        recorded_loss.backward()
    for actual, wanted in zip(recorded, results, strict=True):
        assert_bit_equal(actual.detach(), wanted.detach())
    for parameter, wanted in zip(layer.parameters(), expected, strict=True):
        assert_bit_equal(parameter.grad, wanted)
        assert_fails(assert_bit_equal, parameter.grad, wanted * (1 + 1e-6))


def composite_gradients(problem: Problem) -> tuple[Tensor, Tensor | None]:
    """dL/dh_t and dL/dc_t from the nodes of the composite path: an observer that wants nodes forces it."""
    layer, seen = build_layer(problem), []
    with observed([(layer, NodeObserver(seen))], None):
        loss_through(problem, layer, torch.float64)[0].backward()
    assert layer.path == "composite"
    return seen[0].hidden(), seen[0].cell()


@each_case
def test_native_recording_equals_autograd_at_the_nodes(problem: Problem) -> None:
    hidden, cell = composite_gradients(problem)
    layer = build_layer(problem)
    with gw.record(layer) as recording, gw.record(layer, gradients="norms") as norms:
        loss_through(problem, layer, torch.float64)[0].backward()
    assert layer.path == "native"
    call = recording[""].calls[0]
    assert_close(call.hidden_gradient, hidden, "gradient")
    assert_fails(assert_close, call.hidden_gradient, spoilt(hidden), "gradient")
    assert_close(norms[""].hidden_gradient_norm, hidden.norm(dim=-1), "gradient")
    assert_fails(assert_close, norms[""].hidden_gradient_norm, spoilt(hidden.norm(dim=-1)), "gradient")
    assert_bit_equal(call.trace.hidden, layer.trace(*arguments_of(problem)).hidden.detach())
    if cell is None:
        assert call.cell_gradient is None
        assert norms[""].cell_gradient_norm is None
    else:
        assert_close(call.cell_gradient, cell, "gradient")
        assert_fails(assert_close, call.cell_gradient, spoilt(cell), "gradient")
        assert_close(norms[""].cell_gradient_norm, cell.norm(dim=-1), "gradient")


@each_case
def test_native_recording_under_create_graph_sees_the_same_gradients(problem: Problem) -> None:
    hidden, cell = composite_gradients(problem)
    layer = build_layer(problem)
    with gw.record(layer) as recording:
        loss, _ = loss_through(problem, layer, torch.float64)
        torch.autograd.grad(loss, list(layer.parameters()), create_graph=True)
    assert_close(recording[""].hidden_gradient, hidden, "gradient")
    if cell is not None:
        assert_close(recording[""].cell_gradient, cell, "gradient")


def test_native_recording_adds_up_and_norms_refuse_to() -> None:
    problem = Problem("LSTM")
    layer = build_layer(problem)
    with gw.record(layer) as recording, gw.record(layer, gradients="norms") as norms:
        loss, _ = loss_through(problem, layer, torch.float64)
    with pytest.raises(RuntimeError, match="no backward pass has reached"):
        _ = norms[""].hidden_gradient_norm
    loss.backward(retain_graph=True)
    once = recording[""].hidden_gradient
    with pytest.raises(RuntimeError, match="norms do not add up"):
        loss.backward(retain_graph=True)
    assert_bit_equal(recording[""].hidden_gradient, once + once)
    with pytest.raises(RuntimeError, match="norms alone"):
        _ = norms[""].hidden_gradient


def test_native_recording_tells_a_vanishing_float32_norm_from_zero() -> None:
    """The squares of these gradients are no floats any more; their norms are."""
    layer = build_layer(Problem("RNN"), dtype=torch.float32)
    with gw.record(layer, gradients="norms") as recording:
        output, _ = layer(padded_inputs(Problem("RNN"), torch.float32))
        output[-1].backward(torch.full_like(output[-1], 1e-30))
    norm = recording[""].hidden_gradient_norm[0, -1]
    assert ((norm / (5**0.5 * 1e-30) - 1).abs() < 1e-6).all()


def test_native_recording_of_frozen_layers_and_without_grad() -> None:
    problem = replace(Problem("GRU"), has_initial_state=False)
    layer = build_layer(problem).requires_grad_(False)
    head = torch.nn.Parameter(random((5,), 9))
    with gw.record(layer) as recording:
        (layer(padded_inputs(problem))[0] @ head).sum().backward()
    assert (recording[""].hidden_gradient != 0).any()
    with torch.no_grad(), gw.record(layer) as recording:
        layer(padded_inputs(problem))
    assert recording[""].trace.gates["update_gate"].shape == (1, 7, 3, 5)
    with pytest.raises(RuntimeError, match="no gradient can reach"):
        _ = recording[""].hidden_gradient


def test_record_refuses_other_kinds_of_gradients() -> None:
    with (
        pytest.raises(ValueError, match="gradients must be True, False or 'norms', got 'norm'"),
        gw.record(torch.nn.GRU(2, 3), gradients="norm"),
    ):
        pass


def test_native_weights_of_a_recorded_trace_are_those_of_its_call() -> None:
    layer = build_layer(Problem("GRU"))
    with gw.record(layer) as recording:
        layer(padded_inputs(Problem("GRU")))
    with torch.no_grad():
        layer.weight_hh_l0.mul_(2)
    with pytest.raises(RuntimeError, match="weight_hh_l0 was changed after this trace was made"):
        recording[""].trace.weights(0)
