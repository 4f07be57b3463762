"""Products of many Jacobians and their singular values, over any range of sizes. K lags, S the size of the state."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gatewise.flow.graded import Graded, identity
from gatewise.flow.triangular import random_orthonormal, rounding, structural_rank, triangularise

# Up to this condition number the SVD of the product is taken as it is: the smallest value then has four right digits.
MAX_CONDITION = 1e12
# So many entries of Jacobians are held at a time (8 MB).
BLOCK_ENTRIES = 2**20


@dataclass(frozen=True)
class Steps:
    """The Jacobians J_end, J_{end-1} ... of `count` steps, made a block at a time: iterating twice makes them twice."""

    make: Callable[[Tensor], Tensor]  # positions counted back from the end (B,) -> (B, S, S), float64
    count: int
    state_size: int
    device: torch.device
    name: str  # for the error

    def first(self, count: int) -> Steps:
        """Return the `count` latest."""
        return Steps(self.make, count, self.state_size, self.device, self.name)

    def __iter__(self) -> Iterator[Tensor]:
        """Yield (S, S), the latest first."""
        for block in self._blocks():
            yield from self._made(block)

    def __reversed__(self) -> Iterator[Tensor]:
        for block in reversed(self._blocks()):
            yield from self._made(block).flip(0)

    def _blocks(self) -> list[range]:
        size = max(1, BLOCK_ENTRIES // self.state_size**2)
        return [range(start, min(start + size, self.count)) for start in range(0, self.count, size)]

    def _made(self, block: range) -> Tensor:
        jacobians = self.make(torch.tensor(block))
        is_broken = ~jacobians.isfinite().flatten(1).all(dim=1)
        if is_broken.any():
            position = block[int(is_broken.nonzero()[0])]
            raise ValueError(f"{self.name}: the step Jacobian {position} steps before the end is not finite")
        return jacobians


def log_singular_values(steps: Steps, lags: list[int]) -> Tensor:
    """Return log sigma (K, S) of ``P(k) = J_end ... J_{end-k+1}`` for rising lags k, NaN beyond the steps there are."""
    values = torch.full((len(lags), steps.state_size), math.nan, dtype=torch.float64, device=steps.device)
    if steps.count == 0:  # not even P(0) = I: there is no state to start from
        return values
    ranks: dict[int, int] = {}  # of the lags whose product is too ill-conditioned
    for lag, product in enumerate(_products(steps.first(min(lags[-1], steps.count)))):
        if lag in lags:
            row = values[lags.index(lag)]
            row[product.rank :] = -math.inf
            sigma = torch.linalg.svdvals(product.matrix)[: product.rank]
            if len(sigma) and (sigma[-1] <= sigma[0] / MAX_CONDITION or sigma[-1] <= product.floor):
                ranks[lag] = product.rank
            else:
                row[: product.rank] = sigma.log() + product.log_scale
    if ranks:
        for lag, graded in enumerate(_graded_products(steps.first(max(ranks)))):
            if lag in ranks:
                found = graded.log_singular_values()[: ranks[lag]]
                values[lags.index(lag), : len(found)] = found
    return values


@dataclass(frozen=True)
class _Product:
    """``P(k) = 2^exponent * matrix``, of at most rank `rank`."""

    matrix: Tensor  # (S, S), largest entry from .5 to 1
    floor: Tensor  # (): rounding error of `matrix`
    exponent: int
    rank: int

    @property
    def log_scale(self) -> float:
        """Natural log of the factor before `matrix`."""
        return self.exponent * math.log(2)


def _products(steps: Steps) -> Iterator[_Product]:
    """Yield P(0), P(1), ... one Jacobian longer each."""
    product = torch.eye(steps.state_size, dtype=torch.float64, device=steps.device)
    floor, exponent, rank = product.new_zeros(()), 0, steps.state_size
    norm = torch.linalg.matrix_norm(product)
    is_alive = torch.ones(steps.state_size, dtype=torch.bool, device=steps.device)  # columns of P that are not all zero
    yield _Product(product, floor, exponent, rank)
    for jacobian in steps:
        rank = min(rank, int(structural_rank(jacobian.mT, is_alive)))
        is_alive = (jacobian[is_alive] != 0).any(dim=0)
        error = rounding(norm * torch.linalg.matrix_norm(jacobian), steps.state_size)
        relative_floor = floor / norm  # what was in error before grows or shrinks with the product
        product = product @ jacobian
        shift = torch.frexp(product.abs().max()).exponent  # a power of two: scaling rounds nothing
        product, error, exponent = torch.ldexp(product, -shift), torch.ldexp(error, -shift), exponent + int(shift)
        norm = torch.linalg.matrix_norm(product)
        floor = relative_floor * norm + error
        yield _Product(product, floor, exponent, rank)


def _graded_products(steps: Steps) -> Iterator[Graded]:
    """Yield P(0)^T, P(1)^T, ... in factors, but for an orthonormal one on either side.

    Two sweeps of QR, over P and then over its transpose. The first only turns the basis into the directions that P
    leaves largest at the end, in falling order: from there the second finds all lags, with logs that fall as well.
    """
    basis = random_orthonormal(steps.state_size, steps.state_size, steps.device)
    for jacobian in reversed(steps):
        basis = torch.linalg.qr(jacobian @ basis).Q
    graded = identity(steps.state_size, steps.device)
    yield graded
    for jacobian in steps:
        floor = rounding(torch.linalg.matrix_norm(jacobian), steps.state_size)
        factors = triangularise(jacobian.mT @ basis, floor)
        resolved = int(factors.num_resolved)
        basis = factors.q[:, :resolved]
        graded = graded.times_from_left(factors.r[:resolved])
        yield graded
