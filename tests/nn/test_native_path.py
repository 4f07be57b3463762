"""The native path: which calls take it, and that a sequence gives the same bits however it is presented."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection

import pytest
import torch
from evaluate import by_forward, evaluate
from torch import Tensor
from torch.nn import RNNBase
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.flop_counter import FlopCounterMode

from gatewise import _native
from problems import KINDS, Problem, as_hx, build_layer, initial_states, one_of_each, padded_inputs, random
from tolerances import assert_bit_equal, assert_close, assert_fails, assert_same, spoilt

pytestmark = pytest.mark.skipif(_native.cpu_level() == "none", reason="this machine has no native kernels")

# Sizes that leave a tail in every tile.
LARGE = {"num_steps": 23, "num_sequences": 11, "input_size": 9, "hidden_size": 37}
LARGE_ENOUGH_FOR_THREADS = {**LARGE, "hidden_size": 149}
LENGTHS = (23, 4, 0, 11, 23, 1, 17, 22, 8, 8, 3)
both_ways = pytest.mark.parametrize(
    "problem", one_of_each(**LARGE, num_layers=2, bidirectional=True), ids=lambda problem: problem.id
)
each_large_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind["cell"] + kind.get("nonlinearity", ""))
one_way = pytest.mark.parametrize("problem", one_of_each(**LARGE, num_layers=2), ids=lambda problem: problem.id)
each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
each_kind = pytest.mark.parametrize("problem", one_of_each(), ids=lambda problem: problem.id)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def call(
    problem: Problem, x: Tensor, states: tuple[Tensor, ...], dtype: torch.dtype, lengths: object = None
) -> tuple[Tensor, ...]:
    """Return output, h_n (and c_n) of the problem's layer, which must take the native path."""
    layer = build_layer(problem, dtype=dtype)
    output, final = layer(x, as_hx(problem, states), lengths=lengths)
    assert layer.path == "native"
    return (output, *(final if isinstance(final, tuple) else (final,)))


def assert_all_bit_equal(actual: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    for a, e in zip(actual, expected, strict=True):
        assert_bit_equal(a, e)
        assert_fails(assert_bit_equal, a, torch.nextafter(e, torch.full_like(e, 9)))


@each_dtype
@both_ways
def test_native_sequence_alone_is_bit_equal_to_itself_in_a_batch(problem: Problem, dtype: torch.dtype) -> None:
    x, states = padded_inputs(problem, dtype), initial_states(problem, dtype)
    whole = call(problem, x, states, dtype)
    for chosen in ([0], [10], [3, 4], [5, 1, 9, 2, 7, 8, 0]):
        part = call(problem, x[:, chosen], tuple(state[:, chosen] for state in states), dtype)
        assert_all_bit_equal(part, tuple(value[:, chosen] for value in whole))


@each_dtype
@each_large_kind
def test_native_sequence_has_its_own_bits_among_a_hundred(kind: dict[str, str], dtype: torch.dtype) -> None:
    problem = Problem(**kind, num_steps=4, num_sequences=107, input_size=5, hidden_size=21)
    x, states = padded_inputs(problem, dtype), initial_states(problem, dtype)
    whole = call(problem, x, states, dtype)
    for n in (0, 47, 48, 95, 96, 106):
        alone = call(problem, x[:, n : n + 1], tuple(state[:, n : n + 1] for state in states), dtype)
        assert_all_bit_equal(tuple(value[:, n : n + 1] for value in whole), alone)


@each_dtype
@both_ways
def test_native_ragged_batch_is_bit_equal_to_each_sequence_alone(problem: Problem, dtype: torch.dtype) -> None:
    x, states = padded_inputs(problem, dtype), initial_states(problem, dtype)
    output, *finals = call(problem, x, states, dtype, list(LENGTHS))
    for n, length in enumerate(LENGTHS):
        here = slice(n, n + 1)
        assert (output[length:, n] == 0).all()
        if length:
            alone = call(problem, x[:length, here], tuple(state[:, here] for state in states), dtype)
            assert_all_bit_equal((output[:length, here], *(final[:, here] for final in finals)), alone)


@each_dtype
@both_ways
def test_native_packed_is_bit_equal_to_lengths(problem: Problem, dtype: torch.dtype) -> None:
    kept = [n for n, length in enumerate(LENGTHS) if length]
    lengths = [LENGTHS[n] for n in kept]
    x, states = padded_inputs(problem, dtype)[:, kept], tuple(s[:, kept] for s in initial_states(problem, dtype))
    layer = build_layer(problem, dtype=dtype)
    packed = pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
    output, final = layer(packed, as_hx(problem, states))
    assert layer.path == "native"
    finals = final if isinstance(final, tuple) else (final,)
    assert_all_bit_equal((pad_packed_sequence(output)[0], *finals), call(problem, x, states, dtype, lengths))


@each_dtype
@one_way
@pytest.mark.parametrize("chunk", [1, 5])
def test_native_chunks_are_bit_equal_to_the_whole(problem: Problem, dtype: torch.dtype, chunk: int) -> None:
    x, states = padded_inputs(problem, dtype), initial_states(problem, dtype)
    whole = call(problem, x, states, dtype)
    outputs = []
    for part in x.split(chunk):
        output, *finals = call(problem, part, states, dtype)
        outputs.append(output)
        states = tuple(finals)
    assert_all_bit_equal((torch.cat(outputs), *states), whole)


@each_dtype
@both_ways
def test_native_presentation_in_memory_does_not_matter(problem: Problem, dtype: torch.dtype) -> None:
    """No gradient, batch-first, strided and expanded arguments."""
    x, states = padded_inputs(problem, dtype), initial_states(problem, dtype)
    whole = call(problem, x, states, dtype)
    with torch.no_grad():
        assert_all_bit_equal(call(problem, x, states, dtype), whole)
    first = replace(problem, batch_first=True)
    output, *finals = call(first, x.transpose(0, 1).contiguous(), states, dtype)
    assert_all_bit_equal((output.transpose(0, 1), *finals), whole)
    strided = tuple(state.mT.contiguous().mT for state in states)
    assert_all_bit_equal(call(problem, x.mT.contiguous().mT, strided, dtype), whole)
    same = tuple(state[:, :1] for state in states)
    expanded = call(problem, x, tuple(state.expand(-1, 11, -1) for state in same), dtype)
    assert_all_bit_equal(expanded, call(problem, x, tuple(state.repeat(1, 11, 1) for state in same), dtype))


@each_dtype
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
@each_large_kind
def test_native_thread_count_does_not_matter(
    kind: dict[str, str], lengths: tuple[int, ...] | None, dtype: torch.dtype
) -> None:
    problem = Problem(**kind, **LARGE_ENOUGH_FOR_THREADS, lengths=lengths, bidirectional=True)
    kernel = _native.DirectionKernel(build_layer(problem).mode, 0, dtype, 23, 11, 9, 149, 0, 3)
    assert kernel.num_threads == 3
    results = []
    for count in (1, 2, 3):
        with threads(count):
            results.append(evaluate(build_layer(problem, dtype=dtype), problem, by_forward))
    for other in results[1:]:
        for name in ("output", "h_n", "grad h_0"):
            assert_bit_equal(other[name], results[0][name], name)
            assert_fails(assert_bit_equal, other[name], results[0][name] * (1 + 1e-6), name)
        assert_same(other, results[0])  # the rest goes through torch.mm, which promises less


@each_dtype
@pytest.mark.parametrize("num_sequences", [1, 3])
@pytest.mark.parametrize("is_ragged", [False, True], ids=["full", "ragged"])
@each_large_kind
def test_native_units_of_a_few_sequences_are_shared_out(
    kind: dict[str, str], is_ragged: bool, num_sequences: int, dtype: torch.dtype
) -> None:
    lengths = (23, 3, 5)[:num_sequences] if is_ragged else None
    sizes = {"num_steps": 23, "num_sequences": num_sequences, "input_size": 9, "hidden_size": 401}
    problem = Problem(**kind, **sizes, lengths=lengths, bidirectional=True)
    kernel = _native.DirectionKernel(build_layer(problem).mode, 0, dtype, 23, num_sequences, 9, 401, 0, 2)
    assert kernel.num_threads == 2
    results = []
    for count in (1, 2):
        with threads(count):
            results.append(evaluate(build_layer(problem, dtype=dtype), problem, by_forward))
    for name in results[0]:
        assert_bit_equal(results[1][name], results[0][name], name)
    assert_fails(assert_bit_equal, results[1]["output"], results[0]["output"] * (1 + 1e-6), "output")


def _send_gradient(connection: Connection, layer: RNNBase, x: Tensor, cotangent: Tensor) -> None:
    output = layer(x)[0]
    output.backward(cotangent)
    connection.send((layer.path, layer.weight_hh_l0.grad.tolist()))


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@each_large_kind
def test_native_forked_child_runs_forward_and_backward(kind: dict[str, str]) -> None:
    """The threads of the parent do not exist in the child, and waiting for them would never end."""
    problem = Problem(**kind, **LARGE_ENOUGH_FOR_THREADS)
    layer, x = build_layer(problem), padded_inputs(problem)
    cotangent = random((23, 11, 149), 7)
    with threads(2):
        layer(x)[0].backward(cotangent)
        expected, layer.weight_hh_l0.grad = layer.weight_hh_l0.grad, None
        receiving, sending = multiprocessing.Pipe(duplex=False)
        arguments = (sending, layer, x, cotangent)
        child = multiprocessing.get_context("fork").Process(target=_send_gradient, args=arguments)
        child.start()
        try:
            assert receiving.poll(600), "the child hangs"
            path, gradient = receiving.recv()
        finally:
            child.kill()
            child.join()
    assert path == "native"
    assert_close(torch.tensor(gradient, dtype=torch.float64), expected, "gradient")
    assert_fails(assert_close, torch.tensor(gradient, dtype=torch.float64), spoilt(expected), "gradient")


def test_native_leaves_the_floating_point_state_alone() -> None:
    """Float kernels flush subnormal numbers on their own threads; afterwards these are what they were."""
    problem = Problem("RNN", **LARGE)
    tiny = torch.tensor([2.0**-140])
    evaluate(build_layer(problem, dtype=torch.float32), problem, by_forward)
    assert (tiny * 0.5).item() == 2.0**-141
    torch.set_flush_denormal(True)
    try:
        assert (tiny * 0.5).item() == 0.0  # negative control: this is how a leak would look
        evaluate(build_layer(problem, dtype=torch.float32), problem, by_forward)
        assert (tiny * 0.5).item() == 0.0
    finally:
        torch.set_flush_denormal(False)


def test_native_float32_gradient_flushes_and_float64_gradient_does_not() -> None:
    gradients = {}
    for dtype, scale in ((torch.float32, 1e-39), (torch.float64, 1e-309)):
        layer = build_layer(Problem("RNN", bias=False), dtype=dtype)
        h_0 = torch.zeros(1, 1, 5, dtype=dtype, requires_grad=True)
        output, _ = layer(torch.zeros(2, 1, 4, dtype=dtype), h_0)
        output.backward(torch.full_like(output, scale))
        gradients[dtype] = h_0.grad
    assert (gradients[torch.float32] == 0).all()
    assert (gradients[torch.float64] != 0).all()


@each_kind
def test_native_path_is_taken_where_its_kernels_fit(problem: Problem) -> None:
    for dtype in (torch.float32, torch.float64):
        layer, x = build_layer(problem, dtype=dtype), padded_inputs(problem, dtype)
        for arguments in ({}, {"lengths": [3, 0, 7]}):
            layer(x, **arguments)
            assert layer.path == "native"


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@each_kind
def test_native_path_is_left_where_it_does_not_fit(problem: Problem) -> None:
    layer, x = build_layer(problem), padded_inputs(problem)
    expected = layer(x)[0]

    def output(value: Tensor) -> Tensor:
        result: Tensor = layer(value)[0]
        return result

    tangent = random(tuple(x.shape), 8)
    _, forward_mode = torch.func.jvp(output, (x,), (tangent,))
    assert layer.path == "composite"
    reverse_mode = torch.func.vjp(output, x)[1](expected.detach())[0]
    assert layer.path == "composite"
    # <v, J t> = <J^T v, t>; a jvp that is silently zero fails
    assert_close((forward_mode * expected).sum().detach(), (reverse_mode * tangent).sum().detach(), "gradient")
    assert forward_mode.abs().max() > 0
    traced = torch.jit.trace(layer, (x,), check_trace=False)
    assert layer.path == "torch"
    assert_close(traced(x * 2)[0], layer(x * 2)[0], "output")
    assert layer.path == "native"
    with FlopCounterMode(display=False):
        layer(x)
    assert layer.path != "native"
    with pytest.raises((RuntimeError, ValueError)):
        layer(x.float())


@each_kind
def test_native_parametrized_weights_are_used_and_trained(problem: Problem) -> None:
    calls = []

    class Halved(torch.nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            calls.append(weight)
            return weight * 0.5

    layer, x = build_layer(problem), padded_inputs(problem)
    with torch.no_grad():
        plain = build_layer(problem)
        plain.weight_hh_l0.mul_(0.5)
    torch.nn.utils.parametrize.register_parametrization(layer, "weight_hh_l0", Halved())
    calls.clear()
    output = layer(x)[0]
    assert layer.path == "native"
    assert len(calls) == 1, "a weight was computed more than once"
    assert_bit_equal(output, plain(x)[0])
    output.square().sum().backward()
    plain(x)[0].square().sum().backward()
    original = layer.parametrizations.weight_hh_l0.original
    assert_close(original.grad, 0.5 * plain.weight_hh_l0.grad, "gradient")
    assert_fails(assert_close, original.grad, plain.weight_hh_l0.grad, "gradient")


@pytest.mark.parametrize("problem", one_of_each(bidirectional=True, num_layers=2), ids=lambda problem: problem.id)
@pytest.mark.parametrize("lengths", [None, (3, 0, 7)], ids=["full", "ragged"])
def test_native_second_derivatives_pass_gradgradcheck(problem: Problem, lengths: tuple[int, ...] | None) -> None:
    small = replace(problem, num_steps=3, hidden_size=2, input_size=2, lengths=lengths and (2, 0, 3))
    layer = build_layer(small)
    x = padded_inputs(small).requires_grad_()
    states = tuple(state.requires_grad_() for state in initial_states(small))

    def results(x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        output, final = layer(x, as_hx(small, states), lengths=lengths and [2, 0, 3])
        return (output, *(final if isinstance(final, tuple) else (final,)))

    assert torch.autograd.gradcheck(results, (x, *states), fast_mode=True)
    assert torch.autograd.gradgradcheck(results, (x, *states), fast_mode=True)
    assert layer.path == "native"


def test_native_gradients_of_single_results_are_right() -> None:
    """A loss of h_n alone, of c_n alone: the cotangents of the other results are missing, not zeros."""
    problem = Problem("LSTM", bidirectional=True)
    layer, x = build_layer(problem), padded_inputs(problem).requires_grad_()
    theirs = build_layer(problem, torch.nn)
    for pick in (lambda out: out[0], lambda out: out[1][0], lambda out: out[1][1]):
        ours, expected = (torch.autograd.grad(pick(module(x)).square().sum(), x)[0] for module in (layer, theirs))
        assert_close(ours, expected, "gradient")
        assert_fails(assert_close, ours, spoilt(expected), "gradient")
