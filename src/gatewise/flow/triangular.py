"""QR factors that know how many of their columns are more than rounding errors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

SEED = 0  # of the vectors that sweeps start from, drawn by a private generator


@dataclass(frozen=True)
class Factors:
    """vectors = q @ r; shapes (..., S, k) and (..., k, k)."""

    q: Tensor
    r: Tensor
    num_resolved: Tensor  # (...,): leading columns whose |r_jj| stands above the rounding errors of the vectors


def triangularise(vectors: Tensor, floor: Tensor) -> Factors:
    """Factor (..., S, k) float64, whose entries are known to within `floor` (...,).

    Where the part of a column orthogonal to those before it is smaller, its r_jj is some number near the floor whatever
    the true one, zero included.
    """
    q, r = torch.linalg.qr(vectors)
    is_resolved = r.diagonal(dim1=-2, dim2=-1).abs() > floor.unsqueeze(-1)
    return Factors(q, r, is_resolved.cumprod(dim=-1).sum(dim=-1))


def rounding(norm: Tensor, state_size: int) -> Tensor:
    """Return how far J v may come out from the truth for a unit vector v (S,) and a J of Frobenius norm `norm`.

    ``2 sqrt(S) eps |J|``, the QR that follows included; the errors of S additions grow like a random walk.
    """
    return norm * (2 * math.sqrt(state_size) * torch.finfo(torch.float64).eps)


def random_orthonormal(state_size: int, num_vectors: int, device: torch.device) -> Tensor:
    """Return (S, k) with orthonormal columns in general position; the first ones do not depend on k."""
    drawn = torch.randn(num_vectors, state_size, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64)
    q: Tensor = torch.linalg.qr(drawn.mT.to(device)).Q
    return q


def structural_rank(jacobian: Tensor, is_alive: Tensor) -> Tensor:
    """Return an upper bound (...,) of the rank of J M, where only the rows `is_alive` (..., S) of M are not zero.

    It counts the exact zeros of J (..., S, S): what is beyond it is lost for good, where rounding would leave 1e-17.
    """
    pattern = (jacobian != 0) & is_alive.unsqueeze(-2)
    return torch.minimum(pattern.any(dim=-2).sum(dim=-1), pattern.any(dim=-1).sum(dim=-1))
