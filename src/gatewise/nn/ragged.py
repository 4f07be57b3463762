"""Sequences of different lengths in one padded batch: masks, and the order in which torch packs them.

Shapes: T steps, N sequences. Lengths may be zero and in any order; torch's packed form knows neither.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from gatewise.cells import State


def valid_steps(lengths: Tensor, num_steps: int) -> Tensor:
    """Return (T, N) bool: whether step t lies inside sequence n."""
    return torch.arange(num_steps, device=lengths.device).unsqueeze(1) < lengths


def last_states(states: Tensor, initial: Tensor, lengths: Tensor | None, is_reverse: bool) -> Tensor:
    """Return the state (N, ...) in which each sequence ends, of those at all steps (T, N, ...); of none the initial."""
    if lengths is None:
        return states[0 if is_reverse else -1]
    ends = torch.zeros_like(lengths) if is_reverse else (lengths - 1).clamp(min=0)
    last = states[ends, torch.arange(len(lengths), device=lengths.device)]
    return torch.where((lengths > 0).unsqueeze(-1), last, initial)


def pack_nonempty(padded: Tensor, lengths: Tensor) -> tuple[PackedSequence, Tensor]:
    """Pack the sequences of (T, N, *) that have any steps; also return which they are (M,)."""
    nonempty = lengths.nonzero().flatten()
    return pack_padded_sequence(padded[:, nonempty], lengths[nonempty], enforce_sorted=False), nonempty


def unpack_nonempty(packed: PackedSequence, nonempty: Tensor, num_steps: int, num_sequences: int) -> Tensor:
    """Undo `pack_nonempty`: (T, N, *), zero past each sequence's end and for empty sequences."""
    padded, _ = pad_packed_sequence(packed, total_length=num_steps)
    full = padded.new_zeros(num_steps, num_sequences, *padded.shape[2:])
    return full.index_copy(1, nonempty, padded)


def sorted_lengths_of(packed: PackedSequence) -> Tensor:
    """Return how many steps each sequence has (N,), in the order in which they are packed: longest first."""
    counts = packed.batch_sizes
    return (counts.unsqueeze(1) > torch.arange(int(counts[0]), device="cpu")).sum(0)


def lengths_of(packed: PackedSequence) -> Tensor:
    """Return how many steps each sequence has (N,), in the order in which they were before they were packed."""
    lengths = sorted_lengths_of(packed)
    return lengths if packed.unsorted_indices is None else lengths[packed.unsorted_indices.cpu()]


def reorder(states: State, order: Tensor | None) -> State:
    """Return the states (L*D, N, ...) of the sequences in `order`; None leaves them as they are."""
    return states if order is None else states.map(lambda state: state.index_select(1, order))


def pack_like(padded: Tensor, packed: PackedSequence) -> PackedSequence:
    """Pack (T, N, *) into the order and batch sizes of `packed`."""
    sorted_first = padded if packed.sorted_indices is None else padded.index_select(1, packed.sorted_indices)
    data = pack_padded_sequence(sorted_first, sorted_lengths_of(packed)).data
    return PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)


def unpack_like(rows: Tensor, packed: PackedSequence | None) -> Tensor:
    """Bring rows (R, *) packed as `packed` into (T, N, *), zero past each sequence's end; without `packed` they are."""
    return rows if packed is None else pad_packed_sequence(packed._replace(data=rows))[0]


def dropout(values: Tensor, p: float, lengths: Tensor | None, packed: PackedSequence | None) -> Tensor:
    """Drop entries of (T, N, *) with the very mask that torch.nn draws between layers.

    For ragged batches torch draws it in packed order: that of `packed` where the input came packed, since sequences of
    equal length may stand in any order there, else that in which torch would pack `lengths`.
    """
    if lengths is None:
        return F.dropout(values, p)
    if packed is not None:
        dropped = packed._replace(data=F.dropout(pack_like(values, packed).data, p))
        return pad_packed_sequence(dropped, total_length=len(values))[0]
    if not lengths.any():
        return values
    by_length, nonempty = pack_nonempty(values, lengths)
    dropped = by_length._replace(data=F.dropout(by_length.data, p))
    return unpack_nonempty(dropped, nonempty, *values.shape[:2])
