"""At which step the loss last reads a layer."""

from __future__ import annotations

import torch
from torch import Tensor


def last_steps_read(output_norms: Tensor, cell_output_norms: Tensor | None, directions: int) -> Tensor:
    """Return per row the last processed step at which gradient enters from outside (L*D, N); -1 where none does.

    Parameters
    ----------
    output_norms, cell_output_norms : Tensor of shape (L*D, T, N)
        Of the partial gradients; NaN counts as gradient.
    directions : int
        D; odd rows of a bidirectional layer run backwards, so their last step is the lowest.
    """
    is_read = output_norms != 0
    if cell_output_norms is not None:
        is_read = is_read | (cell_output_norms != 0)
    is_read = is_read.cpu()
    steps = torch.arange(is_read.shape[1]).unsqueeze(-1)
    last = torch.where(is_read, steps, -1).amax(dim=1)
    first = torch.where(is_read, steps, len(steps)).amin(dim=1)
    is_reverse = (torch.arange(len(last)) % directions == 1).unsqueeze(1)
    return torch.where(is_reverse & (last >= 0), first, last)
