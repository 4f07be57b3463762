"""`gw.record`: total gradients of every h_t and c_t equal autograd's through an independent unrolled float64 loop."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from evaluate import finals_of
from plain_reference import Unrolled, unrolled
from torch import Tensor

import gatewise as gw
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
from tolerances import assert_close, assert_fails, spoilt

BOTH_WAYS = {"num_layers": 2, "bidirectional": True}
RECORDED = [
    *one_of_each(),
    *one_of_each(**BOTH_WAYS, batch_first=True),
    *one_of_each(**BOTH_WAYS, num_sequences=4, lengths=(2, 7, 4, 7), is_packed=True),
    *one_of_each(is_batched=False, num_sequences=1, bias=False),
    Problem("LSTM", **BOTH_WAYS, proj_size=3),
]
RAGGED = [
    *one_of_each(**BOTH_WAYS, num_sequences=4, lengths=(3, 7, 0, 1)),
    Problem("LSTM", **BOTH_WAYS, num_sequences=4, lengths=(3, 7, 0, 1), proj_size=3),
]
CASES = [(module, problem) for problem in RECORDED for module in (torch.nn, gw.nn)] + [(gw.nn, p) for p in RAGGED]
each_case = pytest.mark.parametrize(
    ("module", "problem"), CASES, ids=[f"{module.__name__}-{problem.id}" for module, problem in CASES]
)


def recorded(module: object, problem: Problem) -> gw.nn.LayerRecording:
    """Record one call and the backward of `loss_of` on output and final states."""
    layer = build_layer(problem, module)
    lengths = {} if as_lengths(problem) is None else {"lengths": as_lengths(problem)}
    with gw.record(layer) as recording:
        output, final = layer(
            as_input(problem, padded_inputs(problem)), as_hx(problem, initial_states(problem)), **lengths
        )
        loss_of(as_padded(problem, output), *finals_of(problem, final)).backward()
    return recording[""]


def by_loop(problem: Problem) -> tuple[Unrolled, Tensor]:
    """Return the unrolled loop and the same loss on it."""
    lengths = None if problem.lengths is None else list(problem.lengths)
    states = tuple(state.requires_grad_() for state in initial_states(problem))
    plain = unrolled(build_layer(problem, torch.nn), padded_inputs(problem), states, lengths)
    return plain, loss_of(plain.output, *plain.finals)


@each_case
def test_hidden_gradient_equals_autograd_through_the_loop(module: object, problem: Problem) -> None:
    recording, (plain, loss) = recorded(module, problem), by_loop(problem)
    expected = plain.gradient(loss, plain.hidden)
    assert_close(recording.hidden_gradient, expected, "gradient")
    assert_fails(assert_close, recording.hidden_gradient, spoilt(expected), "gradient")
    assert_close(recording.hidden_gradient_norm, expected.square().sum(-1).sqrt(), "gradient")
    assert_fails(assert_close, recording.hidden_gradient_norm, expected.abs().sum(-1).mul(1.01), "gradient")


@each_case
def test_cell_gradient_equals_autograd_through_the_loop(module: object, problem: Problem) -> None:
    recording, (plain, loss) = recorded(module, problem), by_loop(problem)
    if problem.cell != "LSTM":
        assert recording.cell_gradient is None
        assert recording.cell_gradient_norm is None
        return
    expected = plain.gradient(loss, plain.cell)
    assert_close(recording.cell_gradient, expected, "gradient")
    assert_fails(assert_close, recording.cell_gradient, spoilt(expected), "gradient")
    assert_close(recording.cell_gradient_norm, expected.square().sum(-1).sqrt(), "gradient")


@each_case
def test_recorded_gates_and_states_equal_the_loop(module: object, problem: Problem) -> None:
    recording, (plain, _) = recorded(module, problem), by_loop(problem)
    assert_close(recording.trace.hidden, plain.padded(plain.hidden).detach(), "output")
    assert not recording.trace.hidden.requires_grad
    for ended, expected in zip((recording.trace.h_n, recording.trace.c_n), plain.finals, strict=False):
        assert_close(ended, expected.detach(), "output")
        assert_fails(assert_close, ended, spoilt(expected.detach()), "output")
    assert recording.gates.keys() == plain.gates.keys()
    for name, nodes in plain.gates.items():
        expected = plain.padded(nodes).detach()
        assert_close(recording.gates[name], expected, "output", name)
        assert_fails(assert_close, recording.gates[name], spoilt(expected), "output")


@pytest.mark.parametrize("problem", one_of_each(), ids=lambda problem: problem.id)
def test_hidden_gradient_is_total_and_not_the_output_gradient(problem: Problem) -> None:
    """A loss on the last output alone: the output gradient is zero before, the total one is not."""
    layer = build_layer(problem, torch.nn)
    with gw.record(layer) as recording:
        output, _ = layer(padded_inputs(problem))
        output.retain_grad()
        output[-1].square().sum().backward()
    total, partial = recording[""].hidden_gradient[0], output.grad
    assert (partial[:-1] == 0).all()
    assert (total[:-1].flatten(1).norm(dim=1) > 0).all()
    assert_close(total[-1], partial[-1], "gradient")
    assert_fails(assert_close, total, partial, "gradient")


def test_cell_gradient_counts_the_path_through_the_same_steps_output() -> None:
    """dL/dc_t - o (1 - tanh^2 c_t) dL/dh_t is what the later steps send back; at the last step nothing is left."""
    problem = Problem("LSTM", has_initial_state=False)
    layer = build_layer(problem)
    with gw.record(layer) as recording:
        layer(padded_inputs(problem))[0].square().sum().backward()
    seen = recording[""]
    slope = seen.gates["output_gate"] * (1 - seen.trace.cell.tanh().square())
    assert_close(seen.cell_gradient[0, -1], (slope * seen.hidden_gradient)[0, -1], "gradient")
    assert_fails(assert_close, seen.cell_gradient[0, 0], (slope * seen.hidden_gradient)[0, 0], "gradient")


@pytest.mark.parametrize("problem", RAGGED, ids=lambda problem: problem.id)
def test_recorded_gradients_are_zero_past_the_end(problem: Problem) -> None:
    recording = recorded(gw.nn, problem)
    past_end = torch.arange(problem.num_steps)[:, None] >= torch.tensor(problem.lengths)
    for gradient in (recording.hidden_gradient, recording.cell_gradient):
        if gradient is not None:
            assert (gradient[:, past_end] == 0).all()
            assert (gradient[:, ~past_end].flatten(2) != 0).any()


def test_recorded_gradients_add_up_over_backward_passes() -> None:
    problem = replace(Problem("LSTM"), has_initial_state=False)
    layer = build_layer(problem)
    with gw.record(layer) as recording:
        output, _ = layer(padded_inputs(problem))
        output.square().sum().backward(retain_graph=True)
        once = recording[""].hidden_gradient.clone()
        output.square().sum().backward()
    assert_close(recording[""].hidden_gradient, 2 * once, "gradient")
    assert_fails(assert_close, recording[""].hidden_gradient, once, "gradient")


PARTLY_TRAINABLE = {
    "one direction": (lambda: torch.nn.LSTM(5, 7, bidirectional=True), lambda name: "reverse" in name),
    "one direction below a trainable layer": (
        lambda: torch.nn.GRU(5, 7, num_layers=2, bidirectional=True),
        lambda name: name.endswith("l0_reverse") or "l1" in name,
    ),
    "the projection alone": (lambda: torch.nn.LSTM(5, 7, proj_size=4), lambda name: "hr" in name),
}


@pytest.mark.parametrize("kind", PARTLY_TRAINABLE)
def test_recorded_gradients_of_a_partly_frozen_layer_are_the_same_under_create_graph(kind: str) -> None:
    """States that depend on no trainable weight have gradients all the same."""
    make, is_trainable = PARTLY_TRAINABLE[kind]
    torch.manual_seed(0)
    layer = make().double()
    for name, parameter in layer.named_parameters():
        parameter.requires_grad_(is_trainable(name))
    x = torch.randn(6, 3, 5, dtype=torch.float64)

    def recorded(create_graph: bool) -> list[torch.Tensor]:
        trainable = [parameter for parameter in layer.parameters() if parameter.requires_grad]
        with gw.record(layer) as recording:
            torch.autograd.grad(layer(x)[0].square().sum(), trainable, create_graph=create_graph)
        found = recording[""]
        return [found.hidden_gradient, *([] if found.cell_gradient is None else [found.cell_gradient])]

    for actual, expected in zip(recorded(True), recorded(False), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-14)
        assert (expected != 0).any(dim=-1).all()
