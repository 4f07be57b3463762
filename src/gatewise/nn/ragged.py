"""Sequences of different lengths in one padded batch: masks, and the order in which torch packs them.

Shapes: T steps, N sequences. Lengths may be zero and in any order; torch's packed form knows neither.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence


def valid_steps(lengths: Tensor, num_steps: int) -> Tensor:
    """Return (T, N) bool: whether step t lies inside sequence n."""
    return torch.arange(num_steps).unsqueeze(1) < lengths


def pack_nonempty(padded: Tensor, lengths: Tensor) -> tuple[PackedSequence, Tensor]:
    """Pack the sequences of (T, N, *) that have any steps; also return which they are (M,)."""
    nonempty = lengths.nonzero().flatten()
    return pack_padded_sequence(padded[:, nonempty], lengths[nonempty], enforce_sorted=False), nonempty


def unpack_nonempty(packed: PackedSequence, nonempty: Tensor, num_steps: int, num_sequences: int) -> Tensor:
    """Undo `pack_nonempty`: (T, N, *), zero past each sequence's end and for empty sequences."""
    padded, _ = pad_packed_sequence(packed, total_length=num_steps)
    full = padded.new_zeros(num_steps, num_sequences, *padded.shape[2:])
    return full.index_copy(1, nonempty, padded)


def dropout(values: Tensor, p: float, lengths: Tensor | None) -> Tensor:
    """Drop entries of (T, N, *) with the very mask that torch.nn draws between layers, which for ragged batches it
    draws in packed order.
    """  # noqa: D205
    if lengths is None:
        return F.dropout(values, p)
    if not lengths.any():
        return values
    packed, nonempty = pack_nonempty(values, lengths)
    dropped = PackedSequence(F.dropout(packed.data, p), *packed[1:])
    return unpack_nonempty(dropped, nonempty, *values.shape[:2])
