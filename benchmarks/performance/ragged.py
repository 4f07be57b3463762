"""Batches of sequences that differ in length, against torch.nn with a PackedSequence."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import RNNBase
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gatewise.bench import JOBS, Claim, LayerPair, Point, take_turns
from performance.table import Part, Table

TARGET = 3.0


def measure(part: Part) -> Iterator[Point]:
    for size in part.sizes:
        if size.num_sequences == 1:
            continue
        generator = torch.Generator().manual_seed(0)
        shortest = -(-size.num_steps // 4)
        lengths = torch.randint(shortest, size.num_steps + 1, (size.num_sequences,), generator=generator)
        lengths[0] = size.num_steps  # so that both give an output of T steps

        def packed(layer: RNNBase, x: Tensor, lengths: Tensor = lengths) -> Tensor:
            """Return the packed output (R, H) of the batch that is packed on the way in."""
            return layer(pack_padded_sequence(x, lengths, enforce_sorted=False))[0].data

        def padded(layer: RNNBase, x: Tensor, lengths: Tensor = lengths) -> Tensor:
            """Return the padded output (T, N, H), as torch.nn's user gets it: pack, call, pad."""
            return pad_packed_sequence(layer(pack_padded_sequence(x, lengths, enforce_sorted=False))[0])[0]

        def with_lengths(layer: RNNBase, x: Tensor, lengths: Tensor = lengths) -> Tensor:
            """Return the padded output (T, N, H) without packing."""
            return layer(x, lengths=lengths)[0]

        pair = LayerPair(part.cell, size)
        for form, torch_call, our_call in (("packed", packed, packed), ("lengths", padded, with_lengths)):
            for job in JOBS:
                yield Point(
                    cell=part.cell,
                    size=size,
                    job=job,
                    form=form,
                    samples=take_turns(pair.contestants(job, torch_call, our_call), part.pace),
                    flops=size.flops(part.cell, job, num_rows=int(lengths.sum())),
                    claims=(Claim(of="torch.nn", over="gatewise", target=TARGET),),
                )


TABLE = Table(
    "ragged",
    "Sequences of different lengths",
    "Lengths are uniform in [T/4, T]. `packed`: both get the PackedSequence, made within the time. `lengths`: padded "
    "in and padded out; torch.nn packs, runs and pads, gatewise gets `lengths=`. The target is 3 times as fast.",
    measure,
)
