"""Traces: every state and gate of a call, post-activation, zero past the end, and differentiable."""

from __future__ import annotations

import pytest
import torch
from plain_reference import unrolled

import gatewise as gw
from problems import (
    Problem,
    as_hx,
    as_input,
    as_lengths,
    build_layer,
    initial_states,
    loss_of,
    one_of_each,
    padded_inputs,
)
from tolerances import assert_bit_equal, assert_close, assert_fails, spoilt

STACKED = {"num_layers": 2, "bidirectional": True}
RAGGED = {**STACKED, "num_sequences": 4, "lengths": (3, 7, 0, 1)}
TRACED = [
    *one_of_each(**STACKED),
    *one_of_each(**RAGGED, batch_first=True),
    *one_of_each(is_batched=False, num_sequences=1, bidirectional=True),
    *one_of_each(**STACKED, num_sequences=4, lengths=(2, 7, 4, 7), is_packed=True, bias=False),
    Problem("LSTM", **RAGGED, proj_size=3),
]
CANDIDATES = ("cell_gate", "new_gate")
each_problem = pytest.mark.parametrize("problem", TRACED, ids=lambda problem: problem.id)


def trace_of(problem: Problem) -> gw.nn.Trace:
    """Return the trace of the problem's call."""
    arguments = as_input(problem, padded_inputs(problem)), as_hx(problem, initial_states(problem)), as_lengths(problem)
    return build_layer(problem).trace(*arguments)


def opened(trace: gw.nn.Trace) -> dict[str, torch.Tensor]:
    """Return every recorded quantity by name."""
    return {"hidden": trace.hidden, **({} if trace.cell is None else {"cell": trace.cell}), **trace.gates}


@each_problem
def test_trace_equals_the_unrolled_loop(problem: Problem) -> None:
    """Shapes, values, zero past the end, and the gradients of a loss on all of it."""
    layer, padded, states = build_layer(problem), padded_inputs(problem), initial_states(problem)
    leaves = {"x": padded, "h_0": states[0], **({"c_0": states[1]} if len(states) == 2 else {})}
    leaves |= dict(layer.named_parameters())
    for leaf in leaves.values():
        leaf.requires_grad_()
    trace = layer.trace(as_input(problem, padded), as_hx(problem, states), as_lengths(problem))
    actual = opened(trace) | {"h_n": trace.h_n} | ({} if trace.c_n is None else {"c_n": trace.c_n})
    plain = unrolled(layer, padded, states, None if problem.lengths is None else list(problem.lengths))
    expected = {"hidden": plain.padded(plain.hidden), "h_n": plain.finals[0]}
    if problem.cell == "LSTM":
        expected |= {"cell": plain.padded(plain.cell), "c_n": plain.finals[1]}
    expected |= {name: plain.padded(nodes) for name, nodes in plain.gates.items()}
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert_close(actual[name], value, "output", name)
        assert_fails(assert_close, actual[name], spoilt(value), "output")
    gradients = [
        torch.autograd.grad(loss_of(*(values[name] for name in expected)), tuple(leaves.values()))
        for values in (actual, expected)
    ]
    for name, actual_gradient, expected_gradient in zip(leaves, *gradients, strict=True):
        assert_close(actual_gradient, expected_gradient, "gradient", name)
        assert_fails(assert_close, actual_gradient, spoilt(expected_gradient), "gradient")


@each_problem
def test_trace_shapes_are_time_major_whatever_the_form(problem: Problem) -> None:
    trace = trace_of(problem)
    rows, steps, sequences = problem.num_rows, problem.num_steps, problem.num_sequences
    assert trace.hidden.shape == (rows, steps, sequences, problem.state_size)
    assert trace.h_0.shape == trace.h_n.shape == (rows, sequences, problem.state_size)
    names = {"LSTM": ["input_gate", "forget_gate", "cell_gate", "output_gate"]}
    names["GRU"] = ["reset_gate", "update_gate", "new_gate"]
    assert list(trace.gates) == names.get(problem.cell, [])
    for gate in trace.gates.values():
        assert gate.shape == (rows, steps, sequences, problem.hidden_size)
    if problem.cell == "LSTM":
        assert trace.cell.shape == (rows, steps, sequences, problem.hidden_size)
        assert trace.c_0.shape == trace.c_n.shape == (rows, sequences, problem.hidden_size)
    else:
        assert trace.cell is trace.c_0 is trace.c_n is None
    assert (trace.lengths is None) == (problem.lengths is None)
    if problem.lengths is not None:
        assert trace.lengths.tolist() == list(problem.lengths)


@each_problem
def test_trace_gates_are_after_the_activation(problem: Problem) -> None:
    for name, gate in trace_of(problem).gates.items():
        low = -1 if name in CANDIDATES else 0
        assert low <= gate.min() <= gate.max() <= 1, name
        assert gate.std() > 0.05  # and no constant
    preactivation = 3 * torch.randn(100)  # negative control: what a preactivation would look like
    assert not -1 <= preactivation.min() <= preactivation.max() <= 1


@pytest.mark.parametrize("problem", [p for p in TRACED if p.cell != "RNN"], ids=lambda problem: problem.id)
def test_trace_states_follow_from_the_stored_gates(problem: Problem) -> None:
    """c_t = f c_{t-1} + i g, and h_t = (1-z) n + z h_{t-1}, with the previous step of the reverse direction at t+1."""
    trace = trace_of(problem)
    lengths = problem.lengths or (problem.num_steps,) * problem.num_sequences
    is_lstm = problem.cell == "LSTM"
    for index in range(problem.num_layers):
        for direction in ("forward", "reverse"):
            part = trace.layer(index, direction)
            memory, initial = (part.cell, part.c_0) if is_lstm else (part.hidden, part.h_0)
            for n, length in enumerate(lengths):
                for t in range(length):
                    before = t - 1 if direction == "forward" else t + 1
                    previous = memory[before, n] if 0 <= before < length else initial[n]
                    gate = {name: value[t, n] for name, value in part.gates.items()}
                    if is_lstm:
                        kept, added = gate["forget_gate"] * previous, gate["input_gate"] * gate["cell_gate"]
                    else:
                        kept, added = gate["update_gate"] * previous, (1 - gate["update_gate"]) * gate["new_gate"]
                    assert_close(memory[t, n], kept + added, "output")
                    assert_fails(assert_close, memory[t, n], kept, "output")


@each_problem
def test_trace_is_zero_past_the_end(problem: Problem) -> None:
    trace = trace_of(problem)
    lengths = torch.tensor(problem.lengths or (problem.num_steps,) * problem.num_sequences)
    past_end = torch.arange(problem.num_steps)[:, None] >= lengths
    assert torch.equal(trace.valid(), ~past_end)
    for value in opened(trace).values():
        assert (value[:, past_end] == 0).all()
        if problem.cell != "RNN":  # relu may well be zero inside
            assert (value[:, ~past_end] != 0).all()


@each_problem
def test_trace_layer_is_the_named_row(problem: Problem) -> None:
    trace = trace_of(problem)
    for index in range(problem.num_layers):
        for offset, direction in enumerate(("forward", "reverse")):
            row, part = index * 2 + offset, trace.layer(index, direction)
            assert_bit_equal(part.hidden, trace.hidden[row])
            assert_bit_equal(part.h_0, trace.h_0[row])
            assert part.is_reverse == (direction == "reverse")
            for name, gate in part.gates.items():
                assert_bit_equal(gate, trace.gates[name][row])
            if trace.cell is not None:
                assert_bit_equal(part.cell, trace.cell[row])
                assert_bit_equal(part.c_0, trace.c_0[row])
    assert_bit_equal(trace.layer(0).hidden, trace.layer(0, "forward").hidden)
    assert_fails(assert_bit_equal, trace.layer(0).hidden, trace.layer(0, "reverse").hidden)
