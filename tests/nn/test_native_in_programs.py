"""What programs do around the native path: threads, interrupts, worker processes, and every corner of autograd."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from evaluate import by_forward, evaluate
from torch import Tensor
from torch.nn import RNNBase
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset

from gatewise import _native
from problems import KINDS, Problem, build_layer, one_of_each, padded_inputs
from tolerances import assert_bit_equal, assert_close, assert_fails, spoilt

pytestmark = pytest.mark.skipif(_native.cpu_level() == "none", reason="this machine has no native kernels")
each_kind = pytest.mark.parametrize("problem", one_of_each(), ids=lambda problem: problem.id)
# Enough work for three threads in every cell.
LARGE = {"num_steps": 23, "num_sequences": 11, "input_size": 9, "hidden_size": 149}
each_large_kind = pytest.mark.parametrize("problem", one_of_each(**LARGE), ids=lambda problem: problem.id)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def gradients_of(layer: RNNBase, x: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(layer(x)[0].square().sum(), list(layer.parameters())))


def assert_all_bit_equal(actual: list[Tensor], expected: list[Tensor]) -> None:
    for a, e in zip(actual, expected, strict=True):
        assert_bit_equal(a.detach(), e.detach())
        assert_fails(assert_bit_equal, a.detach(), torch.nextafter(e.detach(), torch.full_like(e, 9)))


# ---- threads --------------------------------------------------------------------------------------------------------


@each_large_kind
def test_native_more_threads_than_sequences(problem: Problem) -> None:
    few = replace(problem, num_sequences=2, num_steps=120)
    one = evaluate(build_layer(few), few, by_forward)
    with threads(16):
        many = evaluate(build_layer(few), few, by_forward)
    for name in ("output", "h_n", "grad h_0"):
        assert_bit_equal(many[name], one[name], name)
        assert_fails(assert_bit_equal, many[name], spoilt(one[name]), name)


@each_large_kind
def test_native_thread_count_may_change_before_backward(problem: Problem) -> None:
    layer, x = build_layer(problem), padded_inputs(problem)
    expected = gradients_of(layer, x)
    for before, after in ((1, 3), (3, 1), (2, 3)):
        with threads(before):
            loss = layer(x)[0].square().sum()
        with threads(after):
            actual = torch.autograd.grad(loss, list(layer.parameters()))
        for a, e in zip(actual, expected, strict=True):
            assert_close(a, e, "gradient")
            assert_fails(assert_close, a, spoilt(e), "gradient")


@each_large_kind
def test_native_calls_from_several_python_threads_give_the_same_bits(problem: Problem) -> None:
    """One layer, fifty calls with backward from four threads at once, each on two threads of its own."""
    layer, x = build_layer(problem), padded_inputs(problem)
    with threads(2), ThreadPoolExecutor(4) as pool:
        expected = gradients_of(layer, x)
        for actual in pool.map(lambda _: gradients_of(layer, x), range(50)):
            assert_all_bit_equal(actual, expected)


INTERRUPTED = """
import signal, threading, torch, gatewise as gw
torch.set_num_threads(1)
layer = gw.nn.GRU(64, 128, batch_first=True)
x, long = torch.randn(8, 50, 64), torch.randn(8, 2000, 64)

def gradients(x):
    return torch.autograd.grad(layer(x)[0].sum(), list(layer.parameters()))

def interrupt():
    is_running.wait()
    signal.raise_signal(signal.SIGINT)

expected, interrupted = gradients(x), 0
for _ in range(3):
    is_running, other = threading.Event(), threading.Thread(target=interrupt)
    other.start()
    try:
        is_running.set()
        gradients(long)
        other.join()  # on a busy machine the calls may be over first
    except KeyboardInterrupt:
        interrupted += 1
    other.join()
    assert all(map(torch.equal, gradients(x), expected))
    assert (torch.tensor([2.0**-140]) * 0.5).item() == 2.0**-141, "subnormal numbers are still flushed"
print(interrupted, layer.path)
"""


def test_native_interrupt_is_raised_after_the_call_and_leaves_no_trace() -> None:
    ran = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=600, check=False)
    assert ran.stdout.split() == ["3", "native"], ran.stderr


def test_native_long_call_lets_other_python_threads_run() -> None:
    layer, x = build_layer(Problem("LSTM", **LARGE)), torch.zeros(4000, 11, 9, dtype=torch.float64)
    ticks: list[int] = []
    is_running, is_done = threading.Event(), threading.Event()

    def count() -> None:
        while not is_done.is_set():
            is_running.set()
            ticks.append(1)
            is_done.wait(0.001)

    other = threading.Thread(target=count)
    other.start()
    is_running.wait()
    before = len(ticks)
    with torch.no_grad():
        layer(x)
    during = len(ticks) - before
    is_done.set()
    other.join()
    assert layer.path == "native"
    assert during > 1, "no other thread ran during the call"


# ---- worker processes -----------------------------------------------------------------------------------------------


class Encoded(Dataset[Tensor]):
    """Each item is what a layer makes of an input."""

    def __init__(self, layer: RNNBase, x: Tensor) -> None:
        self.layer, self.x = layer, x

    def __len__(self) -> int:
        return self.x.shape[1]

    def __getitem__(self, index: int) -> Tensor:
        with torch.no_grad():
            output: Tensor = self.layer(self.x[:, index : index + 1])[0][:, 0]
        assert self.layer.path == "native"
        return output


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_native_layer_runs_in_the_workers_of_a_data_loader(context: str) -> None:
    problem = Problem("LSTM", **LARGE)
    layer, x = build_layer(problem), padded_inputs(problem)
    with threads(2), torch.no_grad():
        expected = layer(x)[0].transpose(0, 1)  # the parent's pool of threads exists before the fork
    loader = DataLoader(Encoded(layer, x), batch_size=4, num_workers=2, multiprocessing_context=context, timeout=600)
    actual = torch.cat(list(loader))
    assert_all_bit_equal([actual], [expected])


# ---- autograd -------------------------------------------------------------------------------------------------------


@each_kind
def test_native_graph_can_be_used_again_if_it_is_kept(problem: Problem) -> None:
    layer, x = build_layer(problem), padded_inputs(problem)
    loss = layer(x)[0].square().sum()
    runs = [torch.autograd.grad(loss, list(layer.parameters()), retain_graph=True) for _ in range(3)]
    for run in runs[1:]:
        assert_all_bit_equal(list(run), list(runs[0]))
    torch.autograd.grad(loss, list(layer.parameters()))
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        torch.autograd.grad(loss, list(layer.parameters()))


@each_kind
@pytest.mark.parametrize("spoil", ["output", "weight_hh_l0", "x"])
def test_native_change_in_place_before_backward_is_an_error(problem: Problem, spoil: str) -> None:
    layer, x = build_layer(problem), padded_inputs(problem)
    output = layer(x)[0]
    loss = output.square().sum()
    changed = {"output": output, "x": x, "weight_hh_l0": layer.weight_hh_l0}[spoil]
    with torch.no_grad():
        changed.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@each_kind
@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))], ids=["deepcopy", "pickle"]
)
def test_native_used_layer_can_be_copied(problem: Problem, again: Callable[[RNNBase], RNNBase]) -> None:
    layer, x = build_layer(problem), padded_inputs(problem)
    layer(x)[0].sum().backward()
    copied = again(layer)
    assert_all_bit_equal(gradients_of(copied, x), gradients_of(layer, x))
    assert copied.path == "native"
    with torch.no_grad():
        copied.weight_hh_l0.mul_(2)
    assert not torch.equal(copied(x)[0], layer(x)[0])


@each_kind
def test_native_inference_mode(problem: Problem) -> None:
    layer, x = build_layer(problem), padded_inputs(problem)
    expected = layer(x)[0]
    with torch.inference_mode():
        actual = layer(x.clone())[0]
    assert layer.path == "native"
    assert actual.is_inference()
    assert not actual.requires_grad
    assert_all_bit_equal([actual.clone()], [expected])


@each_kind
@pytest.mark.parametrize("use_reentrant", [False, True])
def test_native_checkpointing_gives_the_same_gradients(problem: Problem, use_reentrant: bool) -> None:
    layer, x = build_layer(replace(problem, num_layers=2)), padded_inputs(problem).requires_grad_()
    leaves = [x, *layer.parameters()]
    results = []
    for run in (layer, lambda value: checkpoint(layer, value, use_reentrant=use_reentrant)):
        run(x)[0].square().sum().backward()
        results.append([leaf.grad for leaf in leaves])
        for leaf in leaves:
            leaf.grad = None
    assert_all_bit_equal(results[1], results[0])


@each_kind
def test_native_hooks_see_what_they_see_on_torchs_layers(problem: Problem) -> None:
    layer, x = build_layer(problem), padded_inputs(problem).requires_grad_()
    seen: dict[str, object] = {}
    layer.register_forward_pre_hook(lambda module, given: seen.update(given=given[0]))
    layer.register_forward_hook(lambda module, given, result: seen.update(output=result[0]))
    layer.register_full_backward_hook(lambda module, grad_input, grad_output: seen.update(grad_input=grad_input[0]))
    layer.weight_hh_l0.register_hook(lambda gradient: gradient * 3)
    output = layer(x)[0]
    output.register_hook(lambda gradient: gradient * 2)
    output.sum().backward()
    assert seen["given"] is x
    assert seen["output"].data_ptr() == output.data_ptr()
    assert_bit_equal(seen["grad_input"], x.grad)
    plain = build_layer(problem)
    (2 * plain(x.detach())[0].sum()).backward()
    assert_close(layer.weight_hh_l0.grad, 3 * plain.weight_hh_l0.grad, "gradient")
    assert_close(layer.weight_ih_l0.grad, plain.weight_ih_l0.grad, "gradient")
    assert_fails(assert_close, layer.weight_hh_l0.grad, plain.weight_hh_l0.grad, "gradient")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind["cell"] + kind.get("nonlinearity", ""))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_native_results_are_the_same_after_fifty_repetitions(kind: dict[str, str], dtype: torch.dtype) -> None:
    problem = Problem(**kind, num_layers=2, bidirectional=True)
    layer = build_layer(problem, dtype=dtype)
    first = evaluate(layer, problem, by_forward)
    for _ in range(50):
        again = evaluate(layer, problem, by_forward)
        assert_all_bit_equal(list(again.values()), list(first.values()))


@each_kind
def test_native_double_backward_is_torchs(problem: Problem) -> None:
    found = []
    for module in (torch.nn, None):
        layer = build_layer(problem) if module is None else build_layer(problem, module)
        x = padded_inputs(problem).requires_grad_()
        (first,) = torch.autograd.grad(layer(x)[0].square().sum(), x, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), [x, *layer.parameters()]))
    for actual, expected in zip(found[1], found[0], strict=True):
        assert_close(actual, expected, "gradient")
        assert_fails(assert_close, actual, spoilt(expected), "gradient")
