"""Initial states that were not given: zeros of each call and recording alone, and never half of a pair."""

import pytest
import torch

import gatewise as gw


@pytest.mark.parametrize("hx", [(torch.zeros(1, 2, 4), None), (None, torch.zeros(1, 2, 4))])
def test_half_a_pair_of_states_is_refused(hx):
    with pytest.raises(RuntimeError, match="both h_0 and c_0"):
        gw.nn.LSTM(3, 4)(torch.randn(5, 2, 3), hx)


@pytest.mark.parametrize("hx", [(torch.zeros(2, 4), None), (None, torch.zeros(2, 4))])
def test_half_a_pair_of_states_is_refused_by_the_cell(hx):
    with pytest.raises(RuntimeError, match="both h and c"):
        gw.nn.LSTMCell(3, 4)(torch.randn(2, 3), hx)


def test_recordings_of_one_call_share_no_initial_state():
    layer, x = gw.nn.LSTM(3, 4), torch.randn(5, 2, 3)
    with gw.record(layer) as first, gw.record(layer) as second:
        layer(x)
    first[""].trace.h_0.fill_(5)
    assert not second[""].trace.h_0.any()


def test_initial_state_of_a_recording_keeps_its_size_when_the_input_is_resized():
    layer, x = gw.nn.LSTM(3, 4), torch.randn(5, 2, 3)
    with gw.record(layer) as recording:
        layer(x)
    x.resize_(7, 6, 3)
    assert recording[""].trace.h_0.shape == recording[""].trace.h_n.shape == (1, 2, 4)


def test_trace_of_a_half_frozen_layer_has_second_gradients():
    torch.manual_seed(0)
    layer, x = gw.nn.GRU(2, 3, bidirectional=True, dtype=torch.float64), torch.randn(4, 2, 2, dtype=torch.float64)
    for name, parameter in layer.named_parameters():
        parameter.requires_grad_(not name.endswith("reverse"))
    trained = [parameter for parameter in layer.parameters() if parameter.requires_grad]

    def gradients(create_graph):
        loss = sum(gate.square().sum() for gate in layer.trace(x).gates.values())
        return torch.autograd.grad(loss, trained, create_graph=create_graph)

    for again, once in zip(gradients(True), gradients(False), strict=True):
        torch.testing.assert_close(again, once, rtol=1e-12, atol=1e-12)
        assert again.requires_grad
        assert once.abs().max() > 1e-3
