"""One call of a recurrent layer, brought to a single form, and its results handed back in the form they were asked in.

torch.nn's layers take padded or packed, batched or unbatched, time-major or batch-first input; ours take `lengths` too.
The paths that compute (`paths.py`) see only a `Call`: time-major, batched, with states for every layer and direction.

Shapes: T steps, N sequences, I inputs, H hidden units, P projection (P = H without one), L*D layers times directions.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import RNNBase
from torch.nn.utils.rnn import PackedSequence

from gatewise.cells import State
from gatewise.nn.form import Form, form_of
from gatewise.nn.ragged import lengths_of, pack_like, unpack_like
from gatewise.nn.weights import named_weights

Lengths = Sequence[int] | Tensor | int
HiddenState = Tensor | tuple[Tensor, Tensor]


@dataclass(eq=False)  # not frozen, which takes a microsecond longer to make
class Call:
    """What a layer was asked to compute; made once and not changed."""

    # (T, N, I), or (R, I) as it came packed: the steps of all sequences, R together. In a recorded call its stand-in.
    data: Tensor
    given: State | None  # the initial states, hidden (L*D, N, P), cell (L*D, N, H); None: zeros
    form: Form  # of the layer
    # Of each of the L*D rows, in torch's order; read once, since some have to be computed. Empty in a recorded call.
    weights: list[list[Tensor]]
    lengths: Tensor | None  # (N,) int64 on the CPU, 0..T; None: every sequence has all T steps
    is_batched: bool
    is_batch_first: bool
    packed: PackedSequence | None  # the input itself where it came packed, with `data` for its data

    @cached_property
    def inputs(self) -> Tensor:
        """The input x (T, N, I), padded with zeros where it came packed."""
        return self.padded(self.data)

    @cached_property
    def initial(self) -> State:
        """The initial states, zeros like the input where none were given."""
        if self.given is not None:
            return self.given
        kind, rows = self.form.kind, (self.form.num_rows, self.num_sequences)
        hidden = self.data.new_zeros(*rows, kind.state_size)
        return State(hidden, None if kind.cell_size is None else self.data.new_zeros(*rows, kind.cell_size))

    @property
    def num_sequences(self) -> int:
        """N."""
        return self.data.shape[1] if self.packed is None else len(self.require_lengths())

    def require_lengths(self) -> Tensor:
        """Return the lengths, which a packed call has."""
        if self.lengths is None:
            raise ValueError("this call has no lengths: every sequence has all steps")
        return self.lengths

    def padded(self, rows: Tensor) -> Tensor:
        """Bring values (R, *) of a packed call into (T, N, *), zero past each sequence's end; others are so already."""
        return unpack_like(rows, self.packed)


def read_call(
    layer: RNNBase, inputs: Tensor | PackedSequence, hx: HiddenState | None = None, lengths: Lengths | None = None
) -> Call:
    """Check the arguments of a call as torch.nn does and return them in one form.

    Raises
    ------
    ValueError, RuntimeError
        What torch.nn's layers raise for the same mistakes, and for `lengths` that do not fit the input.
    """
    form = form_of(layer)
    if isinstance(inputs, PackedSequence):
        if lengths is not None:
            raise ValueError(
                "lengths must not be given with a PackedSequence, which has its own; pass one or the other"
            )
        layer.check_input(inputs.data, inputs.batch_sizes)
        _check_batch_sizes(inputs)
        packed_lengths = lengths_of(inputs)
        given = None if hx is None else _given_state(layer, form, hx, len(packed_lengths), is_batched=True)
        weights = [named_weights(layer, names) for names in form.weight_names]
        return Call(inputs.data, given, form, weights, packed_lengths, True, is_batch_first=False, packed=inputs)
    if inputs.dim() not in (2, 3):
        raise ValueError(f"{type(layer).__name__}: Expected input to be 2D or 3D, got {inputs.dim()}D instead")
    is_batched = inputs.dim() == 3
    if not is_batched:
        inputs = inputs.unsqueeze(1)
    elif layer.batch_first:
        inputs = inputs.transpose(0, 1)
    layer.check_input(inputs, None)
    if inputs.shape[0] == 0:
        raise RuntimeError(f"Expected sequence length to be larger than 0 in {type(layer).__name__}")
    checked_lengths = None if lengths is None else check_lengths(lengths, inputs.shape[0], inputs.shape[1], is_batched)
    given = None if hx is None else _given_state(layer, form, hx, inputs.shape[1], is_batched)
    is_batch_first = layer.batch_first and is_batched
    weights = [named_weights(layer, names) for names in form.weight_names]
    return Call(inputs, given, form, weights, checked_lengths, is_batched, is_batch_first, packed=None)


_signature = cache(inspect.signature)  # takes some 10 us


def read_given_call(layer: RNNBase, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Call:
    """Return the call that the layer's forward is given with these arguments; for who stands before or behind it."""
    if not keywords and len(arguments) in (1, 2):  # input, and perhaps hx
        return read_call(layer, *arguments)
    given = _signature(type(layer).forward).bind(layer, *arguments, **keywords).arguments
    return read_call(layer, given["input"], given.get("hx"), given.get("lengths"))


def _check_batch_sizes(packed: PackedSequence) -> None:
    """Raise RuntimeError if the rows of a packed input are not those that its batch sizes count."""
    if torch.compiler.is_compiling():  # then nobody knows them, and torch's kernels run, which look
        return
    sizes = packed.batch_sizes.tolist()
    if sum(sizes) != len(packed.data) or sizes != sorted(sizes, reverse=True) or min(sizes, default=0) < 1:
        raise RuntimeError(f"Expected batch_sizes that descend and sum to {len(packed.data)}, got {sizes}")


def check_lengths(lengths: Lengths, num_steps: int, num_sequences: int, is_batched: bool) -> Tensor:
    """Return `lengths` as (N,) int64 on the CPU, or say what is wrong with them."""
    if is_batched == isinstance(lengths, int):
        expected = f"{num_sequences} lengths, one a sequence" if is_batched else "one int, since the input is unbatched"
        raise ValueError(f"lengths must be {expected}, got {lengths!r}")
    try:
        tensor = torch.as_tensor([lengths] if isinstance(lengths, int) else lengths, device="cpu").detach()
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"lengths must be integers, got {lengths!r}") from None
    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        raise TypeError(f"lengths must be integers, got {tensor.dtype}")
    if tensor.shape != (num_sequences,):
        raise ValueError(f"lengths must have shape ({num_sequences},), one a sequence, got {tuple(tensor.shape)}")
    if not torch.compiler.is_compiling():  # then nobody knows them yet, and the operator looks
        check_range(tensor, num_steps)
    # A copy: kernels and backward read it later, when the caller may have changed his, and as contiguous memory.
    return tensor.to(torch.int64).clone(memory_format=torch.contiguous_format)


def check_range(lengths: Tensor, num_steps: int) -> None:
    """Raise ValueError if one of `lengths` (N,) is not between 0 and T."""
    outside = ((lengths < 0) | (lengths > num_steps)).nonzero().flatten().tolist()
    if outside:
        first = outside[0]
        raise ValueError(f"lengths must be between 0 and {num_steps}, got {int(lengths[first])} for sequence {first}")


def hand_back(call: Call, output: Tensor, final: State) -> tuple[Tensor | PackedSequence, HiddenState]:
    """Return (output, h_n) or (output, (h_n, c_n)) in the form in which the input came.

    Parameters
    ----------
    call : Call
    output : Tensor
        (T, N, D*P), zero past each sequence's end; for a packed call also (R, D*P), packed as the input.
    final : State
        hidden (L*D, N, P), cell (L*D, N, H).
    """
    returned: Tensor | PackedSequence = output
    if call.packed is not None:
        returned = call.packed._replace(data=output) if output.dim() == 2 else pack_like(output, call.packed)
    elif not call.is_batched:
        returned = output.squeeze(1)
        final = final.map(lambda state: state.squeeze(1))
    elif call.is_batch_first:
        returned = output.transpose(0, 1)
    return returned, final.hidden if final.cell is None else (final.hidden, final.cell)


def _given_state(layer: RNNBase, form: Form, hx: HiddenState, num_sequences: int, is_batched: bool) -> State:
    """Return the states before the first step as they were given, checked."""
    rows, state_size, cell_size = form.num_rows, form.kind.state_size, form.kind.cell_size
    if (cell_size is not None) != isinstance(hx, (tuple, list)):
        expected = "one tensor h_0" if cell_size is None else "a pair (h_0, c_0)"
        raise RuntimeError(f"{type(layer).__name__}: Expected hx to be {expected}, got {type(hx).__name__}")
    hidden, cell = hx if isinstance(hx, (tuple, list)) else (hx, None)
    if hidden is None or (cell is None and cell_size is not None):
        raise RuntimeError(f"{type(layer).__name__}: Expected both h_0 and c_0 to be tensors; pass no hx for zeros")
    hidden = _batched(hidden, is_batched, "h_0")
    layer.check_hidden_size(hidden, (rows, num_sequences, state_size), "Expected h_0 of shape {}, got {}")
    if cell is not None and cell_size is not None:
        cell = _batched(cell, is_batched, "c_0")
        layer.check_hidden_size(cell, (rows, num_sequences, cell_size), "Expected c_0 of shape {}, got {}")
    return State(hidden, cell)


def _batched(state: Tensor, is_batched: bool, name: str) -> Tensor:
    """Return a given initial state as (L*D, N, H); without a batch it comes as (L*D, H)."""
    expected = 3 if is_batched else 2
    if state.dim() != expected:
        kind = "batched" if is_batched else "unbatched"
        raise RuntimeError(
            f"For {kind} {expected}-D input {name} should also be {expected}-D but got {state.dim()}-D tensor"
        )
    return state if is_batched else state.unsqueeze(1)
