"""How long the sequences of a run are, and where they end; for the reverse direction the last processed step is 0."""

from __future__ import annotations

import torch
from torch import Tensor

from gatewise.nn.composite import Run


def lengths_of(run: Run) -> Tensor:
    """Return the steps of each sequence (N,), int64 on the CPU."""
    return given_or_full(run.call.lengths, run.call.inputs)


def given_or_full(lengths: Tensor | None, steps: Tensor) -> Tensor:
    """Return `lengths` (N,); for None those of sequences that have all steps of (T, N, *)."""
    return torch.full((steps.shape[1],), len(steps)) if lengths is None else lengths


def last_steps(lengths: Tensor, *, is_reverse: bool) -> Tensor:
    """Return each sequence's last processed position (N,); -1 for a sequence without steps."""
    return torch.where(lengths > 0, 0 if is_reverse else lengths - 1, -1)
