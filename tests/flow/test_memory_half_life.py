"""Half-lives of gates whose value is known."""

import math

import pytest
import torch

import gatewise as gw


def constant_gate_layer(cell, preactivation):
    """Return a layer whose gates all stand at sigma(preactivation), whatever the input."""
    layer = getattr(gw.nn, cell)(3, 4)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.bias_ih_l0.fill_(preactivation)
    return layer.double()


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
@pytest.mark.parametrize("preactivation", [-2.0, 0.0, 1.0, 5.0])
def test_half_life_of_constant_gate(cell, preactivation):
    trace = constant_gate_layer(cell, preactivation).trace(torch.randn(6, 2, 3, dtype=torch.float64))
    gate = 1 / (1 + math.exp(-preactivation))
    expected = math.log(2) / -math.log(gate)
    half_life = gw.flow.memory_half_life(trace)
    torch.testing.assert_close(half_life, torch.full((1, 4), expected, dtype=torch.float64), rtol=1e-12, atol=0)
    if preactivation != 0:  # z read the wrong way round would give this
        assert half_life[0, 0].item() != pytest.approx(math.log(2) / -math.log(1 - gate), rel=1e-3)


def test_forget_bias_one_halves_in_two_and_a_bit_steps():
    trace = constant_gate_layer("LSTM", 1.0).trace(torch.randn(6, 2, 3, dtype=torch.float64))
    assert gw.flow.memory_half_life(trace)[0, 0].item() == pytest.approx(2.21, abs=0.005)


def test_gate_at_one_never_forgets_and_at_zero_at_once():
    always = constant_gate_layer("LSTM", 1000.0).trace(torch.randn(6, 2, 3, dtype=torch.float64))
    never = constant_gate_layer("LSTM", -1000.0).trace(torch.randn(6, 2, 3, dtype=torch.float64))
    assert gw.flow.memory_half_life(always).tolist() == [[math.inf] * 4]
    assert gw.flow.memory_half_life(never).tolist() == [[0.0] * 4]


def test_steps_past_the_end_do_not_count():
    torch.manual_seed(0)
    layer, inputs = gw.nn.GRU(3, 4).double(), torch.randn(6, 2, 3, dtype=torch.float64)
    inputs[3:, 1] = math.nan
    ragged = gw.flow.memory_half_life(layer.trace(inputs, lengths=[6, 3]))
    gates = [layer.trace(inputs[:length, n : n + 1]).gates["update_gate"][0, :, 0] for n, length in ((0, 6), (1, 3))]
    expected = math.log(2) / -torch.cat(gates).log().mean(dim=0)
    torch.testing.assert_close(ragged[0], expected, rtol=1e-12, atol=0)


def test_rnn_has_no_half_life():
    with pytest.raises(ValueError, match="RNN has no gate"):
        gw.flow.memory_half_life(gw.nn.RNN(3, 4).trace(torch.randn(6, 2, 3)))
