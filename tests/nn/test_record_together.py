"""Recordings that meet: nested, overlapping, copied models, frozen layers."""

import copy
import gc
import pickle
import subprocess
import sys

import pytest
import torch
from node_observer import NodeObserver
from torch import nn

import gatewise as gw
from gatewise.nn.observe import observed

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


@pytest.mark.parametrize("kind", [nn.GRU, gw.nn.GRU])
def test_a_forward_that_somebody_kept_records_nothing_any_more(kind):
    layer = kind(I, H)
    with gw.record(layer) as recording:
        forward = layer.forward
        forward(torch.randn(T, N, I))
    forward(torch.randn(T, N, I))
    assert len(recording[""].calls) == 1


def test_a_layer_watched_twice_is_let_go_of():
    layer = nn.GRU(I, H)
    seen = []
    observer = NodeObserver(seen)
    with observed([(layer, observer), (layer, observer)], None):
        run_backward(layer)
    assert len(seen) == 2
    assert "forward" not in layer.__dict__


@pytest.mark.parametrize("is_removed", [False, True], ids=["replaced", "removed"])
def test_a_forward_that_the_user_changes_meanwhile_stays_and_the_other_layers_come_back(is_removed):
    model = nn.ModuleDict({"first": nn.GRU(I, H), "second": nn.GRU(I, H)})
    own = model["first"].forward

    def use():
        with gw.record(model):
            if is_removed:
                del model["first"].forward
            else:
                model["first"].forward = own
            raise KeyError("the user's own")

    with pytest.raises(KeyError, match="the user's own"):
        use()
    assert model["first"].__dict__.get("forward") is (None if is_removed else own)
    assert "forward" not in model["second"].__dict__


def test_the_collector_may_end_a_recording_while_another_begins():
    class Cycle:
        pass

    def watch(model):
        with gw.record(model) as recording:
            yield recording

    layer = gw.nn.LSTM(I, H)
    abandoned = Cycle()
    abandoned.itself, abandoned.recording = abandoned, watch(layer)
    next(abandoned.recording)
    del abandoned
    model = nn.ModuleList([layer, *(gw.nn.LSTM(1, 1) for _ in range(400))])
    recording = gw.record(model)
    threshold = gc.get_threshold()
    gc.set_threshold(gc.get_count()[0] + 150, 1, 1)  # within the next lines
    try:
        with recording as seen:
            layer(torch.randn(T, N, I))
    finally:
        gc.set_threshold(*threshold)
    assert len(seen["0"].calls) == 1
    gc.collect()
    assert not any("forward" in module.__dict__ for module in model)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda recording: pickle.loads(pickle.dumps(recording))])
def test_a_copied_recording_holds_the_same_gradients_and_nothing_between_their_rows(copied):
    layer = gw.nn.LSTM(I, 50)  # rows of no whole cache lines
    with gw.record(layer) as recording:
        layer(torch.randn(T, N, I), lengths=[T, 1, 3])[0].square().sum().backward()
    another = copied(recording)
    for name in ("hidden_gradient", "cell_gradient"):
        assert torch.equal(getattr(another[""], name), getattr(recording[""], name))
    (rows,) = another[""].calls[0]._totals.hidden
    assert rows.untyped_storage().nbytes() == T * N * 50 * rows.element_size()


RECORDS_AND_ENDS = """
import torch, gatewise as gw
layer = gw.nn.LSTM(3, 5)
with gw.record(layer, gradients=GRADIENTS) as recording:
    output, _ = layer(torch.randn(7, 2, 3))
    output[-1].sum().backward()
"""


@pytest.mark.parametrize("gradients", [True, "norms"])
def test_a_program_that_keeps_output_and_recording_ends_without_a_word(gradients):
    script = RECORDS_AND_ENDS.replace("GRADIENTS", repr(gradients))
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=600, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


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
