"""What is done with a trace: differentiate it, name a part that is not there, use it after the weights have moved."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

import gatewise as gw
from problems import Problem, as_hx, build_layer, initial_states, one_of_each, padded_inputs
from tolerances import assert_bit_equal

TINY = {"num_steps": 3, "num_sequences": 3, "input_size": 2, "hidden_size": 3}
each_problem = pytest.mark.parametrize("problem", one_of_each(), ids=lambda problem: problem.id)


@pytest.mark.parametrize(
    "problem",
    [
        *one_of_each(**TINY, bidirectional=True),
        Problem("LSTM", **TINY, proj_size=2),
        *one_of_each(**TINY, num_layers=2),
    ],
    ids=lambda problem: problem.id,
)
@pytest.mark.parametrize("lengths", [None, [2, 0, 3]], ids=["full", "ragged"])
def test_trace_passes_gradcheck_through_everything(problem: Problem, lengths: list[int] | None) -> None:
    layer = build_layer(problem)

    def opened(x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        trace = layer.trace(x, as_hx(problem, states), lengths)
        cells = () if trace.cell is None else (trace.cell, trace.c_n)
        return (trace.hidden, trace.output, trace.h_n, *cells, *trace.gates.values())

    leaves = [leaf.requires_grad_() for leaf in (padded_inputs(problem), *initial_states(problem))]
    assert torch.autograd.gradcheck(opened, leaves, fast_mode=True)

    def spoilt(*arguments: Tensor) -> tuple[Tensor, ...]:
        return tuple(value.detach() * 0.5 + value * 0.5 for value in opened(*arguments))

    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradcheck(spoilt, leaves, fast_mode=True)


@pytest.mark.parametrize("gate", ["forget_gate", "output_gate"])
def test_trace_gate_penalty_trains(gate: str) -> None:
    """A loss built from a gate alone reaches exactly the rows of that gate on the first step."""
    layer = build_layer(Problem("LSTM"))
    layer.trace(padded_inputs(Problem("LSTM"))[:1]).gates[gate].sum().backward()
    rows = layer.bias_ih_l0.grad.view(4, -1)
    of_gate = {"forget_gate": 1, "output_gate": 3}[gate]
    assert (rows[of_gate] != 0).all()
    assert (rows[[k for k in range(4) if k != of_gate]] == 0).all()


@each_problem
def test_trace_reports_stale_weights(problem: Problem) -> None:
    layer = build_layer(problem)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    trace = layer.trace(padded_inputs(problem))
    weights = trace.weights(0)
    assert_bit_equal(weights.recurrent, layer.weight_hh_l0)
    assert_bit_equal(weights.input_bias, layer.bias_ih_l0)
    trace.hidden.sum().backward()
    trace.weights(0)  # a backward pass alone moves nothing
    optimizer.step()
    with pytest.raises(RuntimeError, match="changed"):
        trace.weights(0)
    layer.trace(padded_inputs(problem)).weights(0)


@each_problem
def test_trace_reports_weights_that_were_loaded_anew(problem: Problem) -> None:
    layer = build_layer(problem)
    trace = layer.trace(padded_inputs(problem))
    layer.load_state_dict(build_layer(problem, seed=9).state_dict())
    with pytest.raises(RuntimeError, match="changed"):
        trace.weights(0)


def test_trace_weights_are_of_the_named_row() -> None:
    layer = build_layer(Problem("LSTM", num_layers=2, bidirectional=True, proj_size=3))
    trace = layer.trace(padded_inputs(Problem("LSTM")))
    for row, suffix in enumerate(("l0", "l0_reverse", "l1", "l1_reverse")):
        weights = trace.weights(row)
        for part in ("input", "recurrent", "input_bias", "recurrent_bias", "projection"):
            short = {"input": "weight_ih", "recurrent": "weight_hh", "input_bias": "bias_ih"}
            short |= {"recurrent_bias": "bias_hh", "projection": "weight_hr"}
            assert_bit_equal(getattr(weights, part), getattr(layer, f"{short[part]}_{suffix}"))


def test_trace_layer_that_is_not_there_is_an_error() -> None:
    trace = build_layer(Problem("GRU")).trace(padded_inputs(Problem("GRU")))
    for index, direction in ((1, "forward"), (-1, "forward"), (0, "reverse")):
        with pytest.raises(IndexError):
            trace.layer(index, direction)
    with pytest.raises(ValueError, match="sideways"):
        trace.layer(0, "sideways")


@each_problem
def test_trace_detach_lets_the_graph_go(problem: Problem) -> None:
    trace = build_layer(problem).trace(padded_inputs(problem))
    detached = trace.detach()
    assert trace.hidden.requires_grad
    tensors = [detached.hidden, detached.output, detached.h_n, *detached.gates.values()]
    tensors += [] if detached.cell is None else [detached.cell, detached.c_n]
    assert not any(tensor.requires_grad for tensor in tensors)
    assert_bit_equal(detached.hidden, trace.hidden.detach())


@each_problem
def test_trace_under_no_grad_has_no_graph(problem: Problem) -> None:
    layer, x = build_layer(problem), padded_inputs(problem)
    with torch.no_grad():
        quiet = layer.trace(x)
    assert not quiet.hidden.requires_grad
    assert_bit_equal(quiet.hidden, layer.trace(x).hidden.detach())


@each_problem
def test_trace_leaves_the_layer_as_it_was(problem: Problem) -> None:
    layer, x = build_layer(problem), padded_inputs(problem)
    before = copy.deepcopy(layer.state_dict())
    layer.trace(x)
    assert all(parameter.grad is None for parameter in layer.parameters())
    assert layer.training
    for name, value in layer.state_dict().items():
        assert_bit_equal(value, before[name], name)


def test_trace_is_frozen() -> None:
    trace = build_layer(Problem("RNN")).trace(padded_inputs(Problem("RNN")))
    assert isinstance(trace, gw.nn.Trace)
    with pytest.raises(AttributeError):
        trace.hidden = torch.zeros(1)
