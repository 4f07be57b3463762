"""The native path on random layers and calls: torch.nn's numbers, and the same bits in every presentation.

Sizes, options, lengths and packings are random, and so is how arguments and cotangents lie in memory, what needs a
gradient, which results a loss uses and how many threads there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import cast

import pytest
import torch
from evaluate import finals_of, reference
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import RNNBase
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from gatewise import _native
from problems import (
    KINDS,
    Problem,
    as_hx,
    as_input,
    as_lengths,
    as_padded,
    build_layer,
    build_pair,
    initial_states,
    padded_inputs,
    random,
)
from tolerances import assert_bit_equal, assert_close, assert_fails, spoilt

pytestmark = pytest.mark.skipif(_native.cpu_level() == "none", reason="this machine has no native kernels")

# ---- how a tensor lies in memory: the same values, differentiably ---------------------------------------------------


def _stepped(value: Tensor) -> Tensor:
    """Take every second element of a tensor twice as large."""
    return torch.stack([value, torch.full_like(value, torch.nan)], -1)[..., 0]


def _sliced(value: Tensor) -> Tensor:
    """Slice it out of wider rows, so that rows are neither adjacent nor aligned."""
    return torch.nn.functional.pad(value, (3, 2), value=torch.nan)[..., 3:-2]


def _transposed_rows(value: Tensor) -> Tensor:
    return value.transpose(0, -2).contiguous().transpose(0, -2)


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": torch.clone,
    "transposed": lambda value: value.mT.contiguous().mT,
    "first axes swapped": _transposed_rows,
    "stepped": _stepped,
    "sliced": _sliced,
}
LAYOUT = st.sampled_from(sorted(LAYOUTS))


def expanded(value: Tensor, axis: int) -> Tensor:
    """Return the first entry along `axis` for all, without a copy: these are other values."""
    return value.narrow(axis, 0, 1).expand_as(value)


# ---- one call -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Presentation:
    """What of a call must change no number."""

    x: str  # a layout
    states: str
    cotangents: str
    is_packing_sorted: bool
    threads: int


@dataclass(frozen=True)
class Use:
    """What is expanded, what needs a gradient and which results the loss uses."""

    is_x_expanded: bool
    are_states_expanded: bool
    are_cotangents_expanded: bool
    needed: frozenset[str]  # of x, states, weight, bias
    used: frozenset[int]  # of output, h_n, c_n


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Any layer; T and N are sometimes large enough for three threads."""
    kind = draw(st.sampled_from(KINDS))
    size = st.integers(1, 40)
    num_steps, num_sequences = draw(st.sampled_from([1, 2, 3, 5, 8, 80])), draw(st.sampled_from([1, 2, 3, 5, 12]))
    is_packed, is_ragged = draw(st.booleans()), draw(st.booleans())
    lengths: tuple[int, ...] | None = None
    if is_packed or is_ragged:
        length = st.integers(1 if is_packed else 0, num_steps)
        lengths = tuple(draw(st.lists(length, min_size=num_sequences, max_size=num_sequences)))
        num_steps = max(lengths) if is_packed else num_steps
    hidden_size = draw(size)
    has_projection = kind["cell"] == "LSTM" and hidden_size > 1 and draw(st.booleans())
    return Problem(
        **kind,
        num_steps=num_steps,
        num_sequences=num_sequences,
        input_size=draw(size),
        hidden_size=hidden_size,
        proj_size=draw(st.integers(1, hidden_size - 1)) if has_projection else 0,
        num_layers=draw(st.integers(1, 3)),
        bidirectional=draw(st.booleans()),
        bias=draw(st.booleans()),
        batch_first=draw(st.booleans()),
        has_initial_state=draw(st.integers(0, 3)) > 0,
        lengths=lengths,
        is_packed=is_packed,
    )


PRESENTATIONS = st.builds(
    Presentation, x=LAYOUT, states=LAYOUT, cotangents=LAYOUT, is_packing_sorted=st.booleans(), threads=st.integers(1, 3)
)
USES = st.builds(
    Use,
    is_x_expanded=st.booleans(),
    are_states_expanded=st.booleans(),
    are_cotangents_expanded=st.booleans(),
    needed=st.frozensets(st.sampled_from(["x", "states", "weight", "bias"]), min_size=1),
    used=st.frozensets(st.integers(0, 2), min_size=1),
)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def sorted_problem(problem: Problem) -> Problem:
    """Return the problem with its longest sequence first, as enforce_sorted wants it."""
    return replace(problem, lengths=tuple(sorted(problem.lengths or (), reverse=True)))


def presented(problem: Problem, padded: Tensor, layout: str, *, is_packing_sorted: bool) -> Tensor | PackedSequence:
    """Bring (T, N, *) into the form of the call and lay it out in memory."""
    if not problem.is_packed:
        return LAYOUTS[layout](cast(Tensor, as_input(problem, padded)))
    packed = pack_padded_sequence(padded, torch.tensor(problem.lengths), enforce_sorted=is_packing_sorted)
    return packed._replace(data=LAYOUTS[layout](packed.data))


def results_of(
    layer: RNNBase, problem: Problem, x: Tensor, states: tuple[Tensor, ...], how: Presentation
) -> tuple[Tensor | PackedSequence, tuple[Tensor, ...]]:
    """Return output, in the form of the call, and final states."""
    given = presented(problem, x, how.x, is_packing_sorted=how.is_packing_sorted)
    hx = as_hx(problem, tuple(LAYOUTS[how.states](state) for state in states))
    with threads(how.threads):
        output, final = layer(given, hx, lengths=as_lengths(problem))
    return output, finals_of(problem, final)


def arguments_of(problem: Problem, use: Use) -> tuple[Tensor, tuple[Tensor, ...]]:
    x, states = padded_inputs(problem), initial_states(problem)
    x = expanded(x, 1) if use.is_x_expanded else x
    return x, tuple(expanded(state, 1) for state in states) if use.are_states_expanded else states


def leaves_of(layer: RNNBase, problem: Problem, use: Use, x: Tensor, states: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """Let what is needed require a gradient, nothing else, and return it by name."""
    leaves = {"x": x} if "x" in use.needed else {}
    if problem.has_initial_state and "states" in use.needed:
        leaves |= dict(zip(("states h_0", "states c_0"), states, strict=False))
    for name, parameter in layer.named_parameters():
        parameter.requires_grad_(name.split("_")[0] in use.needed)
    leaves |= {name: parameter for name, parameter in layer.named_parameters() if parameter.requires_grad}
    return {name: leaf.requires_grad_() for name, leaf in leaves.items()}


def cotangents_of(values: list[Tensor], use: Use) -> list[Tensor]:
    drawn = [random(tuple(value.shape), 5 + k) for k, value in enumerate(values)]
    return [expanded(cotangent, 1) for cotangent in drawn] if use.are_cotangents_expanded else drawn


def gradients(use: Use, leaves: dict[str, Tensor], values: list[Tensor], cotangents: list[Tensor]) -> dict[str, Tensor]:
    """Return the gradient of the used values in each leaf, zero where there is no way from one to the other."""
    pairs = [pair for k, pair in enumerate(zip(values, cotangents, strict=True)) if k in use.used]
    pairs = [(value, cotangent) for value, cotangent in pairs if value.requires_grad]
    if not leaves or not pairs:
        return {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    outputs, grad_outputs = zip(*pairs, strict=True)
    found = torch.autograd.grad(outputs, list(leaves.values()), grad_outputs, materialize_grads=True)
    return dict(zip(leaves, found, strict=True))


# ---- the tests ------------------------------------------------------------------------------------------------------

many = settings(max_examples=250)


@many
@given(problem=problems(), how=PRESENTATIONS, use=USES)
def test_native_agrees_with_torch_on_random_calls(problem: Problem, how: Presentation, use: Use) -> None:
    """In float64: of one unit's numbers float32 may leave as few digits as cancellation likes, in torch as here."""
    if problem.is_packed and how.is_packing_sorted:
        problem = sorted_problem(problem)
    theirs, ours = build_pair(problem)
    x, states = arguments_of(problem, use)
    their_x, their_states = x.clone(), tuple(state.clone() for state in states)
    their_leaves = leaves_of(theirs, problem, use, their_x, their_states)
    expected, expected_finals = reference(theirs, problem, their_x, their_states)
    their_values = [expected, *expected_finals]

    our_leaves = leaves_of(ours, problem, use, x, states)
    output, finals = results_of(ours, problem, x, states, how)
    assert ours.path == "native"
    for actual, wanted in zip([as_padded(problem, output), *finals], their_values, strict=True):
        assert_close(actual, wanted, "output")
        assert_fails(assert_close, actual, spoilt(wanted), "output")

    cotangents = cotangents_of(their_values, use)
    laid_out = [LAYOUTS[how.cotangents](cotangent) for cotangent in cotangents]
    first = presented(problem, cotangents[0], how.cotangents, is_packing_sorted=how.is_packing_sorted)
    laid_out[0] = first.data if isinstance(first, PackedSequence) else first
    our_values = [output.data if isinstance(output, PackedSequence) else output, *finals]
    with threads(how.threads):
        actual_gradients = gradients(use, our_leaves, our_values, laid_out)
    for name, wanted in gradients(use, their_leaves, their_values, cotangents).items():
        assert_close(actual_gradients[name], wanted, "gradient", name)
        assert_fails(assert_close, actual_gradients[name], spoilt(wanted), "gradient", name)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@many
@given(problem=problems(), how=PRESENTATIONS, cut=st.integers(1, 79))
def test_native_random_sequence_has_the_same_bits_in_every_presentation(
    dtype: torch.dtype, problem: Problem, how: Presentation, cut: int
) -> None:
    if problem.is_packed and how.is_packing_sorted:
        problem = sorted_problem(problem)
    layer, x, states = build_layer(problem, dtype=dtype), padded_inputs(problem, dtype), initial_states(problem, dtype)
    returned, finals = results_of(layer, problem, x, states, how)
    output = as_padded(problem, returned).detach()
    assert layer.path == "native"

    time_major = build_layer(replace(problem, batch_first=False), dtype=dtype)
    padded_lengths = None if problem.lengths is None else list(problem.lengths)
    again, final = time_major(x, as_hx(problem, states), lengths=padded_lengths)
    assert_all_bit_equal([output, *finals], [again, *finals_of(problem, final)])

    for n, length in enumerate(problem.lengths or [problem.num_steps] * problem.num_sequences):
        if length:
            here = slice(n, n + 1)
            alone, final = time_major(x[:length, here], as_hx(problem, tuple(state[:, here] for state in states)))
            expected = [output[:length, here], *(state[:, here] for state in finals)]
            assert_all_bit_equal([alone, *finals_of(problem, final)], expected)

    if problem.lengths is None and not problem.bidirectional and cut < problem.num_steps:
        begin, middle = time_major(x[:cut], as_hx(problem, states))
        end, final = time_major(x[cut:], middle)
        assert_all_bit_equal([torch.cat([begin, end]), *finals_of(problem, final)], [output, *finals])


def assert_all_bit_equal(actual: list[Tensor], expected: list[Tensor]) -> None:
    for a, e in zip(actual, expected, strict=True):
        assert_bit_equal(a.detach(), e.detach())
        assert_fails(assert_bit_equal, a.detach(), torch.nextafter(e.detach(), torch.full_like(e.detach(), 9)))
