"""Memory that is kept from call to call: enough of it, a thread's own, and usable whatever mode it was made in."""

import threading

import pytest
import torch

import gatewise as gw
from gatewise import _native
from gatewise._native.scratch import KEPT_BYTES, scratch

needs_kernels = pytest.mark.skipif(_native.cpu_level() == "none", reason="there are no kernels to work in it")


def test_scratch_is_kept_by_use_type_and_thread():
    first = scratch("workspace", 100, torch.float32)
    assert first.shape == (100,)
    assert first.data_ptr() % 64 == 0
    assert scratch("workspace", 50, torch.float32).data_ptr() == first.data_ptr()
    others = [scratch("workspace", 50, torch.float64), scratch("preactivation gradients", 50, torch.float32)]
    thread = threading.Thread(target=lambda: others.append(scratch("workspace", 50, torch.float32)))
    thread.start()
    thread.join()
    assert len({first.data_ptr(), *(other.data_ptr() for other in others)}) == 4


def test_scratch_of_a_large_call_is_not_kept():
    large = scratch("workspace", KEPT_BYTES, torch.float64)
    assert scratch("workspace", 10, torch.float64).data_ptr() != large.data_ptr()


@needs_kernels
def test_scratch_made_in_inference_mode_serves_training():
    torch.manual_seed(0)
    layer, x = gw.nn.GRU(3, 70, dtype=torch.float64), torch.randn(9, 5, 3, dtype=torch.float64)

    def gradient() -> torch.Tensor:
        layer.zero_grad()
        layer(x)[0].square().sum().backward()
        return layer.weight_hh_l0.grad.clone()

    expected = gradient()
    results = []

    def in_a_thread_of_its_own() -> None:
        with torch.inference_mode():
            layer(x)
        results.append(gradient())

    thread = threading.Thread(target=in_a_thread_of_its_own)
    thread.start()
    thread.join()
    assert torch.equal(results[0], expected)
    assert not torch.equal(results[0], expected + 1e-12)
