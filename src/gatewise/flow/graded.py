"""Singular values of a product whose largest and smallest differ by more than float64 can hold in one matrix.

The product is kept as ``Q diag(exp(l)) U`` with Q orthonormal: U is triangular with +-1 on its diagonal, and what is
large or small stands in l alone, as a logarithm.

References
----------
Stewart, G. W. (1995). On graded QR decompositions of products of matrices. ETNA 3, 39-49.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# Rows of U whose coupling is smaller belong to different blocks; it changes singular values by its square.
COUPLING = 1e-9
# A block whose rows differ by more is swept on: its SVD would lose more than six digits.
BLOCK_RANGE = math.log(1e6)


@dataclass(frozen=True)
class Graded:
    """``diag(exp(log_scale)) @ rows``, the product but for an orthonormal factor on either side."""

    log_scale: Tensor  # (m,)
    rows: Tensor  # (m, m0), upper triangular, +-1 on the diagonal

    def times_from_left(self, r: Tensor) -> Graded:
        """Return `r` (m', m), upper triangular, times this."""
        diagonal = r.diagonal().abs()
        log_scale = self.log_scale[: len(r)]
        # exp(l_j - l_i) is small above the diagonal, since l falls: nothing overflows, and what underflows is nothing.
        weights = r / diagonal.unsqueeze(-1) * torch.exp(self.log_scale - log_scale.unsqueeze(-1)).triu()
        return Graded(log_scale + diagonal.log(), weights @ self.rows)

    def transposed(self) -> Graded:
        """Return the QR of the transpose: one sweep, which also brings neighbours apart by their ratio."""
        r = torch.linalg.qr(self.rows.mT).R
        weights = r * torch.exp(self.log_scale - self.log_scale.unsqueeze(-1)).triu()
        diagonal = weights.diagonal().abs()
        return Graded(self.log_scale + diagonal.log(), weights / diagonal.unsqueeze(-1))

    def log_singular_values(self) -> Tensor:
        """Return log sigma (m,), largest first; NaN where sweeping did not bring neighbours apart.

        Sweeps until the rows fall into blocks that hardly touch each other and are narrow enough for an SVD. In a block
        that is too wide some neighbours differ by the factor 1e6^(1/m), so that about 2 m sweeps are enough.
        """
        graded, size = self, len(self.log_scale)
        if size == 0:
            return self.log_scale
        for _ in range(4 * size + 10):
            graded = graded.transposed()
            if all(graded._range(block) <= BLOCK_RANGE for block in graded._blocks()):
                break
        values = torch.cat([graded._log_svd(block) for block in graded._blocks()])
        return -(-values).sort().values  # NaN last

    def _blocks(self) -> list[slice]:
        """Cut the rows where no row above is coupled to any below."""
        size = len(self.log_scale)
        columns = torch.arange(size, device=self.rows.device)
        reach = torch.where(self.rows.abs() > COUPLING, columns, 0).amax(dim=1).cummax(dim=0).values.tolist()
        starts = [0] + [row + 1 for row in range(size - 1) if reach[row] <= row]
        return [slice(start, end) for start, end in zip(starts, [*starts[1:], size], strict=True)]

    def _range(self, block: slice) -> float:
        log_scale = self.log_scale[block]
        return float(log_scale.max() - log_scale.min())

    def _log_svd(self, block: slice) -> Tensor:
        log_scale = self.log_scale[block]
        if self._range(block) > BLOCK_RANGE:
            return torch.full_like(log_scale, math.nan)
        largest = log_scale.max()
        matrix = torch.exp(log_scale - largest).unsqueeze(-1) * self.rows[block, block]
        sigma: Tensor = torch.linalg.svdvals(matrix)
        return sigma.log() + largest


def identity(state_size: int, device: torch.device) -> Graded:
    """Return the empty product."""
    zeros = torch.zeros(state_size, dtype=torch.float64, device=device)
    return Graded(zeros, torch.eye(state_size, dtype=torch.float64, device=device))
