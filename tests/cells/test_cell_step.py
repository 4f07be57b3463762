"""One step of each cell against torch.nn's cells and against plain numpy, and what each gate does."""

from __future__ import annotations

import pytest
import torch
from cell_cases import CASES, PLAIN, Case, H, numpy_step
from torch import Tensor

from gatewise import cells
from tolerances import assert_close, assert_fails, spoilt

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
each_plain_case = pytest.mark.parametrize("case", PLAIN, ids=lambda case: case.id)


def step(case: Case, x: Tensor, previous: cells.State, weights: cells.Weights | None = None) -> dict[str, Tensor]:
    """Return everything that a step computes, by name."""
    weights = case.weights(x.dtype) if weights is None else weights
    state, gates = case.equations.step(case.equations.project_input(x, weights), previous, weights)
    return {"hidden": state.hidden} | ({} if state.cell is None else {"cell": state.cell}) | gates


def torch_step(case: Case, x: Tensor, previous: cells.State) -> dict[str, Tensor]:
    """Return the same from torch.nn, where a projection exists only in the whole layer."""
    weights, dtype = case.weights(), torch.float64
    sizes = (x.shape[-1], H, case.bias)
    if case.proj_size:
        layer = torch.nn.LSTM(*sizes[:2], bias=case.bias, proj_size=case.proj_size, dtype=dtype)
    elif case.name == "LSTM":
        layer = torch.nn.LSTMCell(*sizes, dtype=dtype)
    elif case.name == "GRU":
        layer = torch.nn.GRUCell(*sizes, dtype=dtype)
    else:
        layer = torch.nn.RNNCell(*sizes, nonlinearity="tanh" if case.name == "RNN" else "relu", dtype=dtype)
    values = (weights.input, weights.recurrent, weights.input_bias, weights.recurrent_bias, weights.projection)
    with torch.no_grad():
        for parameter, value in zip(layer.parameters(), (v for v in values if v is not None), strict=True):
            parameter.copy_(value)
        if case.proj_size:
            _, (hidden, cell) = layer(x[None], (previous.hidden[None], previous.cell[None]))
            return {"hidden": hidden[0], "cell": cell[0]}
        if case.name == "LSTM":
            return dict(zip(("hidden", "cell"), layer(x, (previous.hidden, previous.cell)), strict=True))
        return {"hidden": layer(x, previous.hidden)}


@each_case
def test_step_agrees_with_torch_cell(case: Case) -> None:
    x, previous = case.inputs(3), case.state(3)
    actual = step(case, x, previous)
    for name, value in torch_step(case, x, previous).items():
        assert_close(actual[name], value, "output", name)
        assert_fails(assert_close, actual[name], spoilt(value), "output")


@each_case
def test_step_agrees_with_plain_numpy(case: Case) -> None:
    x, previous = case.inputs(3), case.state(3)
    actual = step(case, x, previous)
    for n in range(3):
        expected = numpy_step(
            case,
            x[n].numpy(),
            previous.hidden[n].numpy(),
            previous.cell[n].numpy() if previous.cell is not None else None,
        )
        assert actual.keys() == expected.keys()
        for name, value in expected.items():
            assert_close(actual[name][n], torch.from_numpy(value), "output", name)
            assert_fails(assert_close, actual[name][n], spoilt(torch.from_numpy(value)), "output")


@each_case
def test_project_input_is_the_input_product_and_its_bias(case: Case) -> None:
    weights, x = case.weights(), case.inputs(2, 3)
    expected = torch.einsum("tni,gi->tng", x, weights.input)
    expected = expected if weights.input_bias is None else expected + weights.input_bias
    projected = case.equations.project_input(x, weights)
    assert_close(projected, expected, "output")
    assert_fails(assert_close, projected, spoilt(expected), "output")


@each_case
def test_step_serves_any_leading_dimensions(case: Case) -> None:
    x, previous = case.inputs(2, 4, 3), case.state(2, 4, 3)
    whole = step(case, x, previous)
    for row in range(2):
        for t in range(4):
            part = step(case, x[row, t], previous.map(lambda state, row=row, t=t: state[row, t]))
            for name, value in part.items():
                assert_close(whole[name][row, t], value, "output", name)
                assert_fails(assert_close, whole[name][row, t], spoilt(value), "output")
    alone = step(case, x[0, 0, 0], previous.map(lambda state: state[0, 0, 0]))
    assert_close(whole["hidden"][0, 0, 0], alone["hidden"], "output")


@pytest.mark.parametrize("case", PLAIN[2:], ids=lambda case: case.id)
def test_gate_names_are_in_torch_order(case: Case) -> None:
    """With all weights zero each gate is the activation of its own rows of the bias."""
    names = {
        "LSTM": ("input_gate", "forget_gate", "cell_gate", "output_gate"),
        "GRU": ("reset_gate", "update_gate", "new_gate"),
    }[case.name]
    assert case.equations.gate_names == names
    bias = torch.linspace(-2, 2, len(names) * H, dtype=torch.float64)
    weights = cells.Weights(torch.zeros(len(bias), 4).double(), torch.zeros(len(bias), H).double(), bias, 0 * bias)
    actual = step(case, case.inputs(3), case.state(3), weights)
    for k, name in enumerate(names):
        rows = bias[k * H : (k + 1) * H]
        expected = torch.tanh(rows) if name in ("cell_gate", "new_gate") else torch.sigmoid(rows)
        assert_close(actual[name], expected.expand(3, H), "output", name)
        assert_fails(assert_close, actual[name], torch.sigmoid(bias[-1:] + 1).expand(3, H), "output")


@pytest.mark.parametrize(("bias", "kept"), [(50.0, True), (-50.0, False)])
def test_gru_update_gate_keeps_the_old_state(bias: float, kept: bool) -> None:
    case = PLAIN[3]
    weights = case.weights()
    weights.input_bias[H : 2 * H] = bias
    previous = case.state(3)
    actual = step(case, case.inputs(3), previous, weights)
    old, new = previous.hidden, actual["new_gate"]
    assert_close(actual["hidden"], old if kept else new, "output")
    assert_fails(assert_close, actual["hidden"], new if kept else old, "output")


def test_gru_reset_gate_acts_on_the_recurrent_bias_too() -> None:
    case = PLAIN[3]
    weights = case.weights()
    weights.input_bias[:H] = -60.0  # r = 0 to within 1e-24
    x = case.inputs(3)
    actual = step(case, x, case.state(3), weights)["new_gate"]
    without = torch.tanh(case.equations.project_input(x, weights)[..., 2 * H :])
    assert_close(actual, without, "output")
    with_b_hn = torch.tanh(case.equations.project_input(x, weights)[..., 2 * H :] + weights.recurrent_bias[2 * H :])
    assert_fails(assert_close, actual, with_b_hn, "output")


def test_lstm_forget_bias_one_keeps_sigma_of_one() -> None:
    """Forget bias 1, preactivation otherwise 0: f = .7311, and c_t = f c_{t-1} where i g = 0."""
    case = PLAIN[2]
    zero = torch.zeros(4 * H, dtype=torch.float64)
    bias = zero.clone()
    bias[H : 2 * H] = 1
    weights = cells.Weights(zero[:, None].expand(-1, 4), zero[:, None].expand(-1, H), bias, zero)
    previous = case.state(3)
    actual = step(case, case.inputs(3), previous, weights)
    assert actual["forget_gate"].flatten().tolist() == pytest.approx([0.7311] * 15, abs=5e-5)
    assert_close(actual["cell"], torch.sigmoid(torch.tensor(1.0).double()) * previous.cell, "output")
    assert_fails(assert_close, actual["cell"], 0.5 * previous.cell, "output")


@each_plain_case
def test_memory_gate_multiplies_the_old_memory(case: Case) -> None:
    """The derivative along the direct path is the gate that the cell names; the RNN has none."""
    assert case.equations.memory_gate == {"LSTM": "forget_gate", "GRU": "update_gate"}.get(case.name)
    assert case.equations.has_cell_state == (case.name == "LSTM")
    assert case.equations.name == case.name.removeprefix("relu-")
