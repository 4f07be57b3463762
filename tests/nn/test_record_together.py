"""Recordings that meet: nested, overlapping, copied models, frozen layers."""

import copy

import torch
from torch import nn

import gatewise as gw

T, N, I, H = 6, 3, 4, 5  # noqa: E741 - the field's letters


def run_backward(model):
    model(torch.randn(T, N, I))[0][-1].square().sum().backward()


def test_nested_recordings_both_hear_every_call():
    layer = nn.GRU(I, H)
    with gw.record(layer) as outer:
        with gw.record(layer, gates=False) as inner:
            run_backward(layer)
        run_backward(layer)
    assert len(outer[""].calls) == 2
    assert len(inner[""].calls) == 1
    assert torch.equal(outer[""].calls[0].hidden_gradient, inner[""].hidden_gradient)
    assert "forward" not in layer.__dict__


def test_overlapping_recordings_end_in_any_order():
    layer = nn.GRU(I, H)
    first, second = gw.record(layer), gw.record(layer)
    heard_first = first.__enter__()
    heard_second = second.__enter__()
    first.__exit__(None, None, None)
    run_backward(layer)
    second.__exit__(None, None, None)
    assert len(heard_first[""].calls) == 0
    assert len(heard_second[""].calls) == 1
    assert "forward" not in layer.__dict__


def test_copy_made_while_recording_is_a_model_of_its_own():
    model = nn.Sequential(nn.GRU(I, H))
    x = torch.randn(T, N, I)
    with gw.record(model) as recording:
        copied = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.zero_()
    assert torch.equal(copied(x)[0], torch.zeros(T, N, H))
    assert not torch.equal(model(x)[0], torch.zeros(T, N, H))
    assert recording["0"].calls == []
    assert torch.equal(copy.deepcopy(copied)(x)[0], torch.zeros(T, N, H))


def test_frozen_layer_has_the_gradient_of_its_states_all_the_same():
    torch.manual_seed(0)
    layer = gw.nn.LSTM(I, H, num_layers=2)
    x = torch.randn(T, N, I)
    gradients = []
    for is_frozen in (False, True):
        for name, parameter in layer.named_parameters():
            parameter.requires_grad_(not (is_frozen and "_l0" in name))
        with gw.record(layer) as recording:
            layer(x)[0][-1].square().sum().backward()
        gradients.append(recording[""].hidden_gradient)
    assert torch.equal(gradients[0], gradients[1])
    assert (gradients[0] != 0).all()
