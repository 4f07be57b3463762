"""Memory that is kept from call to call: a thread's own, usable whatever mode it was made in."""

import threading

import pytest
import torch

import gatewise as gw
from gatewise import _native
from gatewise._native import layer as layer_module
from gatewise._native.scratch import KEPT_BYTES, workspace

needs_kernels = pytest.mark.skipif(_native.cpu_level() == "none", reason="there are no kernels to work in it")


def gradient_of(layer: torch.nn.GRU, x: torch.Tensor) -> torch.Tensor:
    layer.zero_grad()
    layer(x)[0].square().sum().backward()
    return layer.weight_hh_l0.grad.clone()


def test_workspace_is_kept_by_type_and_thread():
    first = workspace(100, torch.float32)
    assert first.numel() >= 100
    assert first.data_ptr() % 64 == 0
    assert workspace(50, torch.float32).data_ptr() == first.data_ptr()
    others = [workspace(50, torch.float64)]
    thread = threading.Thread(target=lambda: others.append(workspace(50, torch.float32)))
    thread.start()
    thread.join()
    assert len({first.data_ptr(), *(other.data_ptr() for other in others)}) == 3


def test_memory_of_a_large_call_is_not_kept():
    large = workspace(KEPT_BYTES, torch.float64)
    assert workspace(10, torch.float64).data_ptr() != large.data_ptr()


@needs_kernels
def test_backward_within_another_backward_changes_nothing(monkeypatch):
    """As a signal's handler may run one, in the same thread, when the first one's memory has been fetched."""
    torch.manual_seed(0)
    layers = [gw.nn.GRU(3, 70, dtype=torch.float64) for _ in range(2)]
    x = torch.randn(9, 5, 3, dtype=torch.float64)
    expected = [gradient_of(layer, x) for layer in layers]
    fetch, seen = layer_module.workspace, []

    def interrupted(elements, dtype):
        memory = fetch(elements, dtype)
        if not seen and torch._C._current_graph_task_id() >= 0:  # within a backward
            seen.append(None)
            with torch.enable_grad():
                seen.append(gradient_of(layers[1], x))
        return memory

    monkeypatch.setattr(layer_module, "workspace", interrupted)
    assert torch.equal(gradient_of(layers[0], x), expected[0])
    assert torch.equal(seen[1], expected[1])
    assert not torch.equal(expected[0], expected[1])


@needs_kernels
def test_memory_made_in_inference_mode_serves_training():
    torch.manual_seed(0)
    layer, x = gw.nn.GRU(3, 70, dtype=torch.float64), torch.randn(9, 5, 3, dtype=torch.float64)
    expected = gradient_of(layer, x)
    results = []

    def in_a_thread_of_its_own() -> None:
        with torch.inference_mode():
            layer(x)
        results.append(gradient_of(layer, x))

    thread = threading.Thread(target=in_a_thread_of_its_own)
    thread.start()
    thread.join()
    assert torch.equal(results[0], expected)
    assert not torch.equal(results[0], expected + 1e-12)
