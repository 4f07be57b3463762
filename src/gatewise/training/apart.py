"""Sequences that have nothing in common.

The windows of a forecast overlap. A regression on some steps that is scored on others would meet the same inputs in
both, at another position of another window, and find memory where there is none.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gatewise.tasks import Batch


def apart(data: Batch, at_most: int) -> Batch:
    """Return the first sequences, no more than `at_most`, of which none begins with what the one before ends with."""
    chosen: list[int] = []
    for index in range(len(data)):
        if len(chosen) == at_most:
            break
        if not chosen or not _overlap(data.inputs[chosen[-1]], data.inputs[index]):
            chosen.append(index)
    return Batch(data.inputs[chosen], data.targets[chosen])


def _overlap(earlier: Tensor, later: Tensor) -> bool:
    """Whether `later` (T, I) is `earlier` moved on by fewer than T steps."""
    return any(torch.equal(earlier[shift:], later[: len(later) - shift]) for shift in range(len(earlier)))
