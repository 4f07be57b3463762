"""What a recording keeps: values that nobody can change any more, no longer than it lives, and no graph."""

import copy
import gc
import pickle
import weakref

import pytest
import torch
from torch import nn

import gatewise as gw
from gatewise import _native

T, N, I, H = 6, 3, 4, 5  # noqa: E741 - the field's letters

each_kind = pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
needs_kernels = pytest.mark.skipif(_native.cpu_level() == "none", reason="on the composite path every value is a copy")


def record_step(layer, x, hx=None):
    """Return what one training step recorded, and the results of the layer."""
    with gw.record(layer) as recording:
        output, final = layer(x, hx)
        output.sum().backward()
    return recording[""], output, final


@each_kind
def test_final_states_may_be_changed_after_the_call(kind):
    layer = getattr(gw.nn, kind)(I, H)
    recording, _, final = record_step(layer, torch.randn(T, N, I))
    finals = final if isinstance(final, tuple) else (final,)
    expected = [state.detach().clone() for state in finals]
    with torch.no_grad():
        for state in finals:
            state.zero_()
    trace = recording.trace
    assert torch.equal(trace.h_n, expected[0])
    assert kind != "LSTM" or torch.equal(trace.c_n, expected[1])


def test_initial_states_may_be_changed_after_the_call():
    hx = torch.ones(1, N, H), torch.ones(1, N, H)
    recording, _, _ = record_step(gw.nn.LSTM(I, H), torch.randn(T, N, I), hx)
    for state in hx:
        state.zero_()
    assert torch.equal(recording.trace.h_0, torch.ones(1, N, H))
    assert torch.equal(recording.trace.c_0, torch.ones(1, N, H))


@each_kind
def test_output_that_needs_no_gradient_may_be_changed_after_the_call(kind):
    layer = getattr(gw.nn, kind)(I, H, num_layers=2)
    with torch.no_grad(), gw.record(layer) as recording:
        output, _ = layer(torch.randn(T, N, I))
    expected = output.clone()
    output.zero_()
    assert torch.equal(recording[""].trace.hidden[1], expected)


@needs_kernels
@each_kind
def test_output_changed_before_the_trace_is_read_is_an_error(kind):
    layer = getattr(gw.nn, kind)(I, H)
    recording, output, _ = record_step(layer, torch.randn(T, N, I))
    with torch.no_grad():
        output.zero_()
    with pytest.raises(RuntimeError, match=r"output of the recorded layer was changed in place.*read the trace first"):
        _ = recording.trace
    assert recording.hidden_gradient.any()


@each_kind
def test_trace_that_was_read_keeps_its_values(kind):
    layer = getattr(gw.nn, kind)(I, H)
    recording, output, _ = record_step(layer, torch.randn(T, N, I))
    expected, trace = output.detach().clone(), recording.trace
    with torch.no_grad():
        output.zero_()
    assert torch.equal(trace.hidden[0], expected)
    assert torch.equal(trace.output, expected)
    assert recording.trace is trace


@needs_kernels
def test_recording_keeps_no_activation_of_the_layers_before():
    before, layer = nn.Linear(I, I), gw.nn.LSTM(I, H)
    with gw.record(layer) as recording:
        x = before(torch.randn(T, N, I))
        activation = weakref.ref(x)
        layer(x)[0].sum().backward()
        del x
    assert activation() is None
    assert recording[""].trace.hidden.shape == (1, T, N, H)


@pytest.mark.parametrize("options", [{}, {"gates": False, "gradients": "norms"}])
def test_recording_goes_at_once_when_nobody_holds_it(options):
    layer = gw.nn.GRU(I, H)
    gc.disable()
    try:
        with gw.record(layer, **options) as recording:
            layer(torch.randn(T, N, I))[0].sum().backward()
        gone = weakref.ref(recording)
        del recording
        assert gone() is None
    finally:
        gc.enable()


def test_trace_of_a_recording_names_the_weight_that_changed():
    layer = gw.nn.LSTM(I, H, num_layers=2, bidirectional=True)
    recording, _, _ = record_step(layer, torch.randn(T, N, I))
    trace = recording.trace
    assert torch.equal(trace.weights(3).recurrent, layer.weight_hh_l1_reverse)
    with torch.no_grad():
        layer.bias_hh_l1.zero_()
    with pytest.raises(RuntimeError, match=r"^bias_hh_l1 was changed"):
        trace.weights(0)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda recording: pickle.loads(pickle.dumps(recording))])
def test_copy_of_a_recording_can_be_read(copied):
    layer = gw.nn.LSTM(I, H)
    with gw.record(layer) as recording:
        output, _ = layer(torch.randn(T, N, I))
    with torch.no_grad():
        layer.bias_hh_l0.zero_()
    another = copied(recording)[""]
    assert torch.equal(another.trace.hidden[0], output)
    with pytest.raises(RuntimeError, match="bias_hh_l0 was changed"):
        another.trace.weights(0)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda recording: pickle.loads(pickle.dumps(recording))])
def test_copy_of_a_recording_knows_its_weights_until_they_change(copied):
    layer = gw.nn.LSTM(I, H)
    recording, _, _ = record_step(layer, torch.randn(T, N, I))
    another = copied(recording)
    weights = another.trace.weights(0)
    assert torch.equal(weights.recurrent, layer.weight_hh_l0)
    with torch.no_grad():
        weights.recurrent.zero_()
    with pytest.raises(RuntimeError, match="weight_hh_l0 was changed"):
        another.trace.weights(0)


@needs_kernels
@pytest.mark.parametrize("gradients", [True, "norms"])
def test_recording_without_gates_holds_nothing_of_the_layer(gradients):
    layer = gw.nn.LSTM(I, H)
    with gw.record(layer, gates=False, gradients=gradients) as recording:
        layer(torch.randn(T, N, I))[0].sum().backward()
    gone = weakref.ref(layer)
    del layer
    assert gone() is None
    assert recording[""].hidden_gradient_norm.any()


def test_trace_read_in_inference_mode_can_take_part_in_a_gradient():
    layer = gw.nn.GRU(I, H)
    with gw.record(layer) as recording:
        layer(torch.randn(T, N, I))
    with torch.inference_mode():
        trace = recording[""].trace
    scale = torch.ones(H, requires_grad=True)
    (trace.hidden * scale).sum().backward()
    assert torch.equal(scale.grad, trace.hidden.sum((0, 1, 2)))


def test_recording_is_entered_once():
    layer = gw.nn.GRU(I, H)
    context = gw.record(layer)
    with context:
        with pytest.raises(RuntimeError, match=r"entered once; call record again"), context:
            pass
        assert "forward" in layer.__dict__
    assert "forward" not in layer.__dict__
