"""How fast k vectors grow along a trajectory: repeated QR, which keeps them from all turning into the fastest one.

Shapes: N sequences, S the size of the state, k vectors.

References
----------
Benettin, G., Galgani, L., Giorgilli, A., Strelcyn, J.-M. (1980). Lyapunov characteristic exponents for smooth dynamical
systems. Meccanica 15. doi:10.1007/BF02128236
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from gatewise.flow.triangular import random_orthonormal, rounding, structural_rank, triangularise


class Jacobian(Protocol):
    """J_t of one step of N sequences."""

    def times(self, vectors: Tensor) -> Tensor:
        """Return J_t @ vectors for (N, S, k)."""

    def matrix(self) -> Tensor:
        """Return J_t (N, S, S)."""


@dataclass(frozen=True)
class Matrices:
    """Jacobians that are given as such."""

    values: Tensor  # (N, S, S)

    def times(self, vectors: Tensor) -> Tensor:
        """Return J_t @ vectors for (N, S, k)."""
        return self.values @ vectors

    def matrix(self) -> Tensor:
        """Return J_t (N, S, S)."""
        return self.values


@dataclass(frozen=True)
class Step:
    """One step of N sequences."""

    jacobian: Jacobian
    norm: Tensor  # (N,): Frobenius norm of J_t, or a bound of it
    is_valid: Tensor | None = None  # (N,): False for sequences that have ended; None: all go on


class Growth:
    """k vectors a sequence on their way through the steps, and the logs of how much they grew.

    Column j of the vectors is zero once nothing of it is left but rounding errors; `rank` tells those that are zero
    exactly, with exponent -inf, from those of which nobody can say, with exponent NaN.
    """

    def __init__(self, num_sequences: int, state_size: int, num_vectors: int, device: torch.device) -> None:
        start = random_orthonormal(state_size, num_vectors, device)
        self.vectors = start.expand(num_sequences, -1, -1)  # (N, S, k)
        self.rank = torch.full((num_sequences,), state_size, device=device)
        self.num_resolved = torch.full((num_sequences,), num_vectors, device=device)
        self.log_growth = torch.zeros(num_sequences, num_vectors, dtype=torch.float64, device=device)
        self.num_steps = torch.zeros(num_sequences, dtype=torch.int64, device=device)
        self._longest = torch.ones_like(self.log_growth[:, 0])  # of the vectors (N,)
        self._floor = torch.zeros_like(self._longest)  # their rounding errors (N,)

    def advance(self, step: Step) -> None:
        """Take one step."""
        moved = step.jacobian.times(self.vectors)
        longest = torch.linalg.vector_norm(moved, dim=-2).amax(dim=-1)
        # What was in error before has grown at most as the longest vector did.
        floor = self._floor * longest / self._longest + rounding(step.norm, moved.shape[-2]) * self._longest
        if step.is_valid is not None:
            moved = torch.where(step.is_valid[:, None, None], moved, self.vectors)
            longest = torch.where(step.is_valid, longest, self._longest)
            floor = torch.where(step.is_valid, floor, self._floor)
        self._before, self._jacobian = self.vectors, step.jacobian
        self.vectors, self._longest, self._floor = moved, longest, floor
        self.num_steps += 1 if step.is_valid is None else step.is_valid

    def orthogonalise(self) -> None:
        """Make the vectors orthonormal again and add up the logs of how far each stood out from those before it."""
        factors = triangularise(self.vectors, self._floor)
        num_resolved = torch.minimum(factors.num_resolved, self.num_resolved)
        diagonal = factors.r.diagonal(dim1=-2, dim2=-1).abs()
        if (num_resolved < diagonal.shape[-1]).any():
            if (num_resolved < self.num_resolved).any():
                rank = structural_rank(self._jacobian.matrix(), (self._before != 0).any(dim=-1))
                self.rank = torch.where(num_resolved < self.num_resolved, torch.minimum(rank, self.rank), self.rank)
            self.num_resolved = num_resolved
            is_resolved = torch.arange(diagonal.shape[-1], device=diagonal.device) < num_resolved.unsqueeze(-1)
            is_reached = (self.vectors != 0).any(dim=-1)  # the other rows are zero, but come out of QR as 1e-17
            self.vectors = factors.q * is_resolved.unsqueeze(-2) * is_reached.unsqueeze(-1)
            self.log_growth = self.log_growth + diagonal.where(is_resolved, 1).log()
        else:
            self.vectors = factors.q
            self.log_growth = self.log_growth + diagonal.log()
        self._longest = torch.ones_like(self._longest)
        self._floor = torch.zeros_like(self._floor)

    def forget(self) -> None:
        """Count from here on."""
        self.log_growth = torch.zeros_like(self.log_growth)
        self.num_steps = torch.zeros_like(self.num_steps)

    def exponents(self) -> Tensor:
        """Return the mean log growth per step (N, k); NaN for a sequence that took none."""
        index = torch.arange(self.log_growth.shape[-1], device=self.log_growth.device)
        mean = self.log_growth / self.num_steps.unsqueeze(-1)
        mean = mean.where(index < self.num_resolved.unsqueeze(-1), math.nan)
        mean = mean.where(index < self.rank.unsqueeze(-1), -math.inf)
        return mean.where((self.num_steps > 0).unsqueeze(-1), math.nan)
