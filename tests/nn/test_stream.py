"""gw.stream: the bits of the layer, a state that can be read, set and reset, errors that say what was wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gatewise as gw
from gatewise import _native
from problems import Problem, build_layer, one_of_each, padded_inputs
from tolerances import assert_bit_equal, assert_fails

pytestmark = pytest.mark.skipif(_native.cpu_level() == "none", reason="this machine has no native kernels")
STACKS = (
    *one_of_each(num_layers=3, hidden_size=17),
    Problem("LSTM", num_layers=2, proj_size=3),
    Problem("GRU", bias=False),
)
each_stack = pytest.mark.parametrize("problem", STACKS, ids=lambda problem: problem.id)


@each_stack
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_stream_gives_the_bits_of_the_layer(problem: Problem, dtype: torch.dtype) -> None:
    layer, x = build_layer(problem, dtype=dtype), padded_inputs(problem, dtype)
    with torch.no_grad():
        output, final = layer(x)
    stream = gw.stream(layer, batch_size=problem.num_sequences)
    streamed = torch.stack([torch.from_numpy(stream.step(x_t)) for x_t in x.numpy()])
    assert_bit_equal(streamed, output)
    assert_fails(assert_bit_equal, streamed, output * (1 + 1e-6))
    h_n, c_n = final if isinstance(final, tuple) else (final, None)
    assert_bit_equal(torch.from_numpy(stream.state.hidden), h_n)
    if c_n is None:
        assert stream.state.cell is None
    else:
        assert_bit_equal(torch.from_numpy(stream.state.cell), c_n)


@each_stack
def test_stream_of_a_torch_layer_is_that_of_ours(problem: Problem) -> None:
    x = padded_inputs(problem).numpy()[:, :1].copy()
    ours, theirs = (gw.stream(build_layer(problem, module)) for module in (gw.nn, torch.nn))
    for x_t in x:
        np.testing.assert_array_equal(ours.step(x_t), theirs.step(x_t))


@each_stack
def test_stream_goes_on_from_a_state_and_forgets_what_it_is_told_to(problem: Problem) -> None:
    x = padded_inputs(problem).numpy()
    stream, other = (gw.stream(build_layer(problem), batch_size=3) for _ in range(2))
    first = stream.step(x[0])
    state = stream.state
    second = stream.step(x[1])
    assert not np.array_equal(first, second)
    other.state = state
    np.testing.assert_array_equal(other.step(x[1]), second)
    other.state = state
    other.reset([1])
    restarted = other.step(x[1])
    np.testing.assert_array_equal(restarted[[0, 2]], second[[0, 2]])
    fresh = gw.stream(build_layer(problem), batch_size=3).step(x[1])
    np.testing.assert_array_equal(restarted[1], fresh[1])
    assert not np.array_equal(restarted[1], second[1])
    stream.reset()
    np.testing.assert_array_equal(stream.step(x[0]), first)


def test_stream_keeps_the_weights_it_was_made_with() -> None:
    layer, x = build_layer(Problem("GRU")), padded_inputs(Problem("GRU")).numpy()[:, :1].copy()
    stream = gw.stream(layer)
    expected = gw.stream(layer).step(x[0])
    with torch.no_grad():
        layer.weight_ih_l0.zero_()
    np.testing.assert_array_equal(stream.step(x[0]), expected)
    assert not np.array_equal(gw.stream(layer).step(x[0]), expected)


def test_stream_writes_where_it_is_told_to() -> None:
    stream = gw.stream(build_layer(Problem("LSTM")), batch_size=3)
    x, out = padded_inputs(Problem("LSTM")).numpy()[0], np.empty((3, 5))
    assert stream.step(x, out) is out
    np.testing.assert_array_equal(out, gw.stream(build_layer(Problem("LSTM")), batch_size=3).step(x))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((2, 4)), ValueError, r"x must have shape \(3, 4\), got \(2, 4\)"),
        (np.zeros((3, 5)), ValueError, r"x must have shape \(3, 4\), got \(3, 5\)"),
        (np.zeros(4), TypeError, r"x must be a contiguous float64 array of shape \(3, 4\), got a contiguous float64"),
        (np.zeros((3, 4), np.float32), TypeError, r"contiguous float64 array .*, got a contiguous float32 array"),
        (np.zeros((4, 3)).T, TypeError, r"contiguous float64 array .*, got a strided float64 array"),
        (torch.zeros(3, 4), TypeError, r"x must be a contiguous float64 array of shape \(3, 4\), got Tensor"),
    ],
)
def test_stream_says_what_is_wrong_with_an_input(x: object, error: type[Exception], message: str) -> None:
    stream = gw.stream(build_layer(Problem("GRU")), batch_size=3)
    before = stream.state.hidden
    with pytest.raises(error, match=message):
        stream.step(x)
    np.testing.assert_array_equal(stream.state.hidden, before)


def test_stream_says_what_is_wrong_with_an_output_or_a_state() -> None:
    stream = gw.stream(build_layer(Problem("LSTM")), batch_size=3)
    x = np.zeros((3, 4))
    read_only = np.empty((3, 5))
    read_only.flags.writeable = False
    with pytest.raises(TypeError, match="out must be writable"):
        stream.step(x, read_only)
    with pytest.raises(ValueError, match=r"out must have shape \(3, 5\), got \(3, 4\)"):
        stream.step(x, np.empty((3, 4)))
    with pytest.raises(ValueError, match="state must have hidden and cell"):
        stream.state = gw.nn.StreamState(np.zeros((1, 3, 5)), None)
    with pytest.raises(ValueError, match=r"state.hidden must have shape \(1, 3, 5\), got \(3, 5\)"):
        stream.state = gw.nn.StreamState(np.zeros((3, 5)), np.zeros((1, 3, 5)))
    with pytest.raises(IndexError):
        stream.reset([3])


@pytest.mark.parametrize(
    ("layer", "batch_size", "error", "message"),
    [
        (torch.nn.Linear(2, 3), 1, TypeError, "layer must be a torch.nn or gatewise RNN, LSTM or GRU, got Linear"),
        (torch.nn.GRU(2, 3, bidirectional=True), 1, ValueError, "layer must have one direction"),
        (torch.nn.GRU(2, 3), 0, ValueError, "batch_size must be at least 1, got 0"),
        (torch.nn.GRU(2, 3).bfloat16(), 1, ValueError, "float32 or float64 on the CPU, got torch.bfloat16"),
    ],
)
def test_stream_refuses_what_it_cannot_do(layer: object, batch_size: int, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        gw.stream(layer, batch_size)


def test_stream_refuses_weights_that_are_not_the_layers() -> None:
    mixed, cut = build_layer(Problem("GRU", num_layers=2)), build_layer(Problem("GRU"))
    mixed.weight_hh_l1 = torch.nn.Parameter(mixed.weight_hh_l1.detach().float())
    cut.weight_ih_l0 = torch.nn.Parameter(cut.weight_ih_l0.detach()[:3].clone())
    with pytest.raises(ValueError, match=r"float32 or float64 on the CPU, got torch\.float32"):
        gw.stream(mixed)
    with pytest.raises(ValueError, match=r"weights of its own sizes, got \(3, 4\)"):
        gw.stream(cut)
