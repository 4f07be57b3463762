"""Scores of a character model that need no network; V classes, R characters, N windows of T steps."""

from __future__ import annotations

from math import log2

import torch
from torch import Tensor

from gatewise.tasks import Baseline


def character_baselines(training: Tensor, previous: Tensor, following: Tensor, size: int) -> tuple[Baseline, ...]:
    """Return the bits per character of chance, of counted characters and of counted pairs.

    Counts are add-one smoothed: ``p(c) = (n_c + 1) / (R + V)`` and ``p(c | b) = (n_bc + 1) / (n_b + V)``, where n_b
    counts the pairs that begin with b.

    Parameters
    ----------
    training : Tensor
        (R,) int64, the classes of the training part; all counts come from it.
    previous, following : Tensor
        (N, T) int64, the inputs and targets of the test windows.
    size : int
        V.
    """
    single = torch.bincount(training, minlength=size).double() + 1
    pairs = torch.bincount(training[:-1] * size + training[1:], minlength=size * size).double().view(size, size) + 1
    single_bits = -torch.log2(single / single.sum())
    pair_bits = -torch.log2(pairs / pairs.sum(1, keepdim=True))
    return (
        Baseline("uniform chance", log2(size), f"every one of the {size} characters is equally likely"),
        Baseline(
            "character frequencies",
            single_bits[following].mean().item(),
            "each character as often as in the training part, add-one smoothed",
        ),
        Baseline(
            "previous character",
            pair_bits[previous, following].mean().item(),
            "each character as often as after the one before it in the training part, add-one smoothed",
        ),
    )
