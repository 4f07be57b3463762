"""The derivative of a step as what it is made of: the recurrent weights between diagonals.

A cell's J_t = ds_t/ds_{t-1} has at most (P + H)^2 entries but is fixed by a few vectors of length H. Applying it to k
vectors in this form costs one product with W_hh and needs no matrix of J's size.

Shapes: H hidden units, P projection (P = H without one), G gates, S the size of the state vector s = h, or [h; c];
``...`` stands for any leading dimensions, steps and sequences for instance.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gatewise.cells.weights import Weights

Index = int | slice | tuple[Tensor, ...]  # of leading dimensions


@dataclass(frozen=True)
class Rows:
    """H rows of J_t: ``sum over g of diag(through_g) W_hg`` in the columns of h, ``+ diag(kept)`` in the memory's.

    The memory is c for the LSTM, h itself for the others.
    """

    through: Tensor  # (..., g, H): the slopes along the first g gate blocks of W_hh h_{t-1}
    kept: Tensor | None = None  # (..., H)

    def __getitem__(self, index: Index) -> Rows:
        return Rows(self.through[index], None if self.kept is None else self.kept[index])


@dataclass(frozen=True)
class StepDerivative:
    """J_t of any number of steps and sequences of one layer and direction.

    Indexing acts on the leading dimensions.
    """

    weights: Weights
    memory: Rows
    output: Rows | None = None  # LSTM: of o * tanh(c_t), which is h_t but for a projection

    def __getitem__(self, index: Index) -> StepDerivative:
        return StepDerivative(self.weights, self.memory[index], None if self.output is None else self.output[index])

    @property
    def state_size(self) -> int:
        """S."""
        return self.weights.recurrent.shape[1] + (0 if self.output is None else self.weights.hidden_size)

    def matrix(self) -> Tensor:
        """Return J_t (..., S, S); rows are components of s_t, columns of s_{t-1}. Differentiable."""
        through = self.memory.through
        return self.write(through.new_empty(*through.shape[:-2], self.state_size, self.state_size))

    def write(self, out: Tensor) -> Tensor:
        """Write J_t into `out` (..., S, S) and return it."""
        out.zero_()
        self._add_rows(self.memory, out[..., -self.weights.hidden_size :, :])
        if self.output is not None:
            hidden = out[..., : self.weights.recurrent.shape[1], :]
            if self.weights.projection is None:
                self._add_rows(self.output, hidden)
            else:
                unprojected = out.new_zeros(*out.shape[:-2], self.weights.hidden_size, self.state_size)
                hidden.copy_(self.weights.projection @ self._add_rows(self.output, unprojected))
        return out

    def times(self, vectors: Tensor) -> Tensor:
        """Return J_t @ vectors for vectors (..., S, k), at the cost of one product with W_hh."""
        recurrent = self.weights.recurrent
        by_gate = recurrent @ vectors[..., : recurrent.shape[1], :]
        products = by_gate.view(*by_gate.shape[:-2], -1, self.weights.hidden_size, by_gate.shape[-1])
        old_memory = vectors[..., -self.weights.hidden_size :, :]
        memory = _times(self.memory, products, old_memory)
        if self.output is None:
            return memory
        hidden = _times(self.output, products, old_memory)
        if self.weights.projection is not None:
            hidden = self.weights.projection @ hidden
        return torch.cat([hidden, memory], dim=-2)

    def norm(self) -> Tensor:
        """Return an upper bound of J_t's Frobenius norm (...,), which is that norm but for rows that nearly cancel."""
        of_row = torch.linalg.vector_norm(self.weights.recurrent, dim=1).view(-1, self.weights.hidden_size)
        memory = _norm(self.memory, of_row)
        if self.output is None:
            return memory
        projection = self.weights.projection
        scale = 1 if projection is None else torch.linalg.matrix_norm(projection, 2)
        return torch.hypot(memory, scale * _norm(self.output, of_row))

    def _add_rows(self, rows: Rows, out: Tensor) -> Tensor:
        """Add `rows` to `out` (..., H, S) and return it."""
        size, columns = self.weights.hidden_size, self.weights.recurrent.shape[1]
        blocks = torch.split(self.weights.recurrent, size)
        for block, slope in zip(blocks, rows.through.unbind(-2), strict=False):
            out[..., :columns].addcmul_(slope.unsqueeze(-1), block)
        if rows.kept is not None:
            out[..., -size:].diagonal(dim1=-2, dim2=-1).add_(rows.kept)
        return out


def _norm(rows: Rows, of_row: Tensor) -> Tensor:
    """Bound the norm of `rows` (...,), given the norms (G, H) of the rows of W_hh."""
    bound = (rows.through.abs() * of_row[: rows.through.shape[-2]]).sum(dim=-2)
    norm: Tensor = torch.linalg.vector_norm(bound if rows.kept is None else bound + rows.kept.abs(), dim=-1)
    return norm


def _times(rows: Rows, products: Tensor, old_memory: Tensor) -> Tensor:
    """Return `rows` times vectors, from W_hh times them (..., G, H, k) and their memory's part (..., H, k)."""
    result = (rows.through.unsqueeze(-1) * products[..., : rows.through.shape[-2], :, :]).sum(dim=-3)
    return result if rows.kept is None else result.addcmul(rows.kept.unsqueeze(-1), old_memory)
