"""Gates: statistics by hand, the two parts of the memory, and the product of the memory gate over lags."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import gatewise as gw
from problems import PROBLEMS, Problem, as_hx, as_input, as_lengths, build_layer, initial_states, padded_inputs
from tolerances import assert_close, assert_fails, spoilt

GATED = [problem for problem in PROBLEMS if problem.cell != "RNN"]
each_gated = pytest.mark.parametrize("problem", GATED, ids=lambda problem: problem.id)


def trace_of(problem: Problem, dtype: torch.dtype = torch.float64) -> gw.nn.Trace:
    hx = as_hx(problem, initial_states(problem, dtype))
    return build_layer(problem, dtype=dtype).trace(
        as_input(problem, padded_inputs(problem, dtype)), hx, as_lengths(problem)
    )


def lengths_of(problem: Problem) -> list[int]:
    return list(problem.lengths or [problem.num_steps] * problem.num_sequences)


@each_gated
def test_gate_statistics_are_those_of_the_valid_steps(problem: Problem) -> None:
    trace = trace_of(problem)
    statistics = gw.flow.gate_statistics(trace)
    assert list(statistics) == list(trace.equations.gate_names)
    for name, measured in statistics.items():
        parts = [trace.gates[name][:, :length, n] for n, length in enumerate(lengths_of(problem))]
        values = torch.cat(parts, dim=1).detach()
        assert measured.mean.shape == (problem.num_rows, problem.hidden_size)
        assert_close(measured.mean, values.mean(dim=1), "output")
        assert_close(measured.low, (values < 0.1).double().mean(dim=1), "output")
        assert_close(measured.high, (values > 0.9).double().mean(dim=1), "output")


def test_gate_statistics_see_saturation() -> None:
    """Half of the units are held open, half shut; thresholds the wrong way round would swap them."""
    layer = gw.nn.LSTM(3, 4)
    with torch.no_grad():
        layer.bias_ih_l0[4:8] = torch.tensor([20.0, 20.0, -20.0, -20.0])
    forget = gw.flow.gate_statistics(layer.trace(torch.randn(6, 2, 3)))["forget_gate"]
    assert forget.high.tolist() == [[1.0, 1.0, 0.0, 0.0]]
    assert forget.low.tolist() == [[0.0, 0.0, 1.0, 1.0]]
    assert forget.mean.dtype == torch.float64


def test_gates_that_are_no_numbers_are_not_called_open() -> None:
    """NaN is neither below .1 nor above .9: its share is unknown, not 0."""
    layer = gw.nn.LSTM(3, 4)
    x = torch.randn(6, 2, 3)
    with torch.no_grad():
        layer.weight_ih_l0[4, 0] = math.nan  # the first unit's forget gate, and through h_t all others a step later
    for statistics in gw.flow.gate_statistics(layer.trace(x)).values():
        for part in (statistics.mean, statistics.low, statistics.high):
            assert part.isnan().all()
    statistics = gw.flow.gate_statistics(layer.trace(x[:1]))
    assert statistics["forget_gate"].low[0].isnan().tolist() == [True, False, False, False]


def test_what_is_no_trace_is_refused() -> None:
    measures = (gw.flow.gate_statistics, gw.flow.memory_balance, gw.flow.direct_path_by_lag, gw.flow.memory_half_life)
    for measure in measures:
        with pytest.raises(
            TypeError, match=r"trace must be a gatewise\.nn\.Trace, as layer\.trace\(x\) returns, got LSTM"
        ):
            measure(gw.nn.LSTM(3, 4))


def test_rnn_has_no_gates_and_no_kept_memory() -> None:
    trace = gw.nn.RNN(3, 4).trace(torch.randn(6, 2, 3))
    assert gw.flow.gate_statistics(trace) == {}
    for measure in (gw.flow.memory_balance, gw.flow.direct_path_by_lag):
        with pytest.raises(ValueError, match="RNN has no gate"):
            measure(trace)


@each_gated
def test_old_and_new_add_up_to_the_memory(problem: Problem) -> None:
    trace = trace_of(problem)
    balance = gw.flow.memory_balance(trace)
    memory = (trace.cell if problem.cell == "LSTM" else trace.hidden).detach()
    assert_close(balance.old + balance.new, memory, "output")
    if memory.any():
        assert_fails(assert_close, balance.old + balance.new, spoilt(memory), "output")


@each_gated
def test_old_is_the_gate_times_the_state_before(problem: Problem) -> None:
    """Step by step, each direction in the order in which it runs."""
    trace = trace_of(problem)
    balance = gw.flow.memory_balance(trace)
    gate = trace.gates[trace.equations.memory_gate].detach()
    memory = (trace.cell if problem.cell == "LSTM" else trace.hidden).detach()
    initial = (trace.c_0 if problem.cell == "LSTM" else trace.h_0).detach()
    expected = torch.zeros_like(memory)
    for row in range(problem.num_rows):
        is_reverse = problem.bidirectional and row % 2 == 1
        for n, length in enumerate(lengths_of(problem)):
            before = initial[row, n]
            for t in reversed(range(length)) if is_reverse else range(length):
                expected[row, t, n] = gate[row, t, n] * before
                before = memory[row, t, n]
    assert_close(balance.old, expected, "output")
    if expected.any():
        assert_fails(assert_close, balance.old, spoilt(expected), "output")


@pytest.mark.parametrize(("preactivation", "share"), [(30.0, 1.0), (-30.0, 0.0)])
def test_old_share_of_a_held_memory_is_one_and_of_a_rewritten_one_zero(preactivation: float, share: float) -> None:
    layer = gw.nn.GRU(3, 4).double()
    with torch.no_grad():
        layer.bias_ih_l0[4:8] = preactivation
        layer.weight_ih_l0[4:8] = 0
        layer.weight_hh_l0[4:8] = 0
    start = torch.ones(1, 2, 4, dtype=torch.float64)
    trace = layer.trace(torch.randn(6, 2, 3, dtype=torch.float64), start, [6, 3])
    measured = gw.flow.memory_balance(trace).old_share
    assert measured[:, trace.valid()].sub(share).abs().max() < 1e-6
    assert measured[:, ~trace.valid()].isnan().all()


def by_hand(trace: gw.nn.Trace, problem: Problem) -> Tensor:
    """Return the log product of the memory gate by plain loops."""
    gate = trace.gates[trace.equations.memory_gate].detach()
    expected = torch.full((len(gate), problem.num_steps, problem.num_sequences, problem.hidden_size), math.nan).double()
    for row in range(problem.num_rows):
        is_reverse = problem.bidirectional and row % 2 == 1
        for n, length in enumerate(lengths_of(problem)):
            steps = list(range(length)) if is_reverse else list(range(length))[::-1]
            for lag in range(length):
                expected[row, lag, n] = sum((gate[row, t, n].log() for t in steps[:lag]), torch.zeros(()).double())
    return expected


@each_gated
def test_direct_path_is_the_product_of_the_gates(problem: Problem) -> None:
    trace = trace_of(problem)
    path = gw.flow.direct_path_by_lag(trace)
    expected = by_hand(trace, problem)
    assert path.lags.tolist() == list(range(problem.num_steps))
    assert_close(path.log_product, expected, "output")
    if problem.num_steps > 1 and any(length > 1 for length in lengths_of(problem)):
        assert_fails(assert_close, path.log_product, expected.roll(1, dims=1), "output")


def test_direct_path_is_the_whole_gradient_without_recurrent_weights() -> None:
    layer = build_layer(Problem("LSTM"))
    with torch.no_grad():
        layer.weight_hh_l0.zero_()
    inputs = padded_inputs(Problem("LSTM"))
    path = gw.flow.direct_path_by_lag(layer.trace(inputs))
    measured = gw.flow.hidden_gradient_norms(layer, inputs, lambda out: out[1][1][0, 0, 2])
    gradient = measured.cell_gradient[0, :, 0, 2].flip(0)
    assert_close(path.log_product[0, :, 0, 2].exp(), gradient, "gradient")


def test_a_shut_gate_ends_the_direct_path() -> None:
    layer = gw.nn.LSTM(3, 2)
    with torch.no_grad():
        layer.bias_ih_l0[2:4] = torch.tensor([-1000.0, 1000.0])
    product = gw.flow.direct_path_by_lag(layer.trace(torch.randn(5, 1, 3))).log_product[0, :, 0]
    assert product[:, 0].tolist() == [0.0] + 4 * [-math.inf]
    assert product[:, 1].tolist() == 5 * [0.0]


def test_measuring_float32_traces_leaves_them_alone() -> None:
    trace = trace_of(Problem("GRU", bidirectional=True, lengths=(3, 7, 1)), torch.float32)
    before = {name: gate.clone() for name, gate in trace.gates.items()}
    hidden = trace.hidden.clone()
    for result in (gw.flow.memory_balance(trace).old, gw.flow.direct_path_by_lag(trace).log_product):
        assert result.dtype == torch.float64
        assert not result.requires_grad
    gw.flow.gate_statistics(trace)
    assert torch.equal(trace.hidden, hidden)
    assert all(torch.equal(trace.gates[name], gate) for name, gate in before.items())
