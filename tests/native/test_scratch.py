"""Memory that is kept from call to call: a thread's own, usable whatever mode it was made in."""

import os
import platform
import subprocess
import sys
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


# Bytes that a process has to fetch again when it ten times takes 32 MiB in eight blocks, writes to them and frees them
# in that order; and how many more are resident once it has asked for freed memory to be kept.
PAGES = """
import ctypes, resource, sys
from gatewise._native.scratch import keep_freed_memory

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
size = 4 * 2**20

def use():
    blocks = [libc.malloc(size) for _ in range(8)]
    for block in blocks:
        libc.memset(block, 1, size)
    for block in blocks:
        libc.free(block)

resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if sys.argv[1] == "kept":
    keep_freed_memory()
resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident
use()
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    use()
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults * resource.getpagesize(), resident * 1024)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a matter of glibc's malloc")
def test_freed_memory_is_kept_for_the_next_step_and_costs_none_itself():
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}

    def measure(how: str) -> tuple[int, int]:
        command = [sys.executable, "-c", PAGES, how]
        told = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()
        return int(told[0]), int(told[1])

    fetched, resident = measure("kept")
    assert fetched < 32 * 2**20
    assert resident < 2**20
    assert measure("as usual")[0] > 5 * 32 * 2**20
