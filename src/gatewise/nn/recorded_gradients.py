"""Where the total gradients of a recorded call come from: the native backward, or the nodes of the composite path.

Shapes: L*D layers times directions, T steps, N sequences, H hidden units, P projection (P = H without one).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from gatewise.nn.composite import Run
from gatewise.nn.native import TotalGradients
from gatewise.nn.ragged import unpack_like


class RecordedGradients(ABC):
    """dL/dh_t and dL/dc_t of one call, zero where the loss does not depend on them."""

    @abstractmethod
    def hidden(self) -> Tensor:
        """Return dL/dh_t (L*D, T, N, P)."""

    @abstractmethod
    def cell(self) -> Tensor | None:
        """Return dL/dc_t (L*D, T, N, H); None for RNN and GRU."""

    def hidden_norm(self) -> Tensor:
        """Return the norms of dL/dh_t (L*D, T, N), float64."""
        return _norm(self.hidden())

    def cell_norm(self) -> Tensor | None:
        """Return the norms of dL/dc_t (L*D, T, N), float64; None for RNN and GRU."""
        gradient = self.cell()
        return None if gradient is None else _norm(gradient)


class NodeGradients(RecordedGradients):
    """What autograd keeps at the nodes of a composite run."""

    def __init__(self, run: Run) -> None:
        self._hidden = [[state.hidden for state in row.states] for row in run.directions]
        self._cell = [[state.cell for state in row.states if state.cell is not None] for row in run.directions]
        for node in (node for row in self._hidden + self._cell for node in row):
            if node.requires_grad:
                node.retain_grad()

    def hidden(self) -> Tensor:
        """See `RecordedGradients.hidden`."""
        return _stack_nodes(self._hidden)

    def cell(self) -> Tensor | None:
        """See `RecordedGradients.cell`."""
        return _stack_nodes(self._cell) if self._cell[0] else None


def _stack_nodes(nodes: list[list[Tensor]]) -> Tensor:
    _check(
        has_graph=any(node.requires_grad for row in nodes for node in row),
        was_reached=any(node.grad is not None for row in nodes for node in row),
    )
    return torch.stack([torch.stack([_gradient(node) for node in row]) for row in nodes])


def _gradient(node: Tensor) -> Tensor:
    return torch.zeros_like(node) if node.grad is None else node.grad.detach()


class KernelGradients(RecordedGradients):
    """What the native backward handed out, which keeps rows as they lie in the call.

    Parameters
    ----------
    totals : TotalGradients
    packed : PackedSequence or None
        How the call came packed, whatever its data.
    has_cell_state : bool
    has_graph : bool
        Whether a backward pass can reach the call.
    """

    def __init__(
        self, totals: TotalGradients, packed: PackedSequence | None, has_cell_state: bool, has_graph: bool
    ) -> None:
        self._totals, self._packed = totals, packed
        self._has_cell_state, self._has_graph = has_cell_state, has_graph

    def hidden(self) -> Tensor:
        """See `RecordedGradients.hidden`."""
        self._require_vectors()
        return self._stack(self._totals.hidden)

    def cell(self) -> Tensor | None:
        """See `RecordedGradients.cell`."""
        if not self._has_cell_state:
            return None
        self._require_vectors()
        return self._stack(self._totals.cell)

    def hidden_norm(self) -> Tensor:
        """See `RecordedGradients.hidden_norm`."""
        return self._stack_norms(self._totals.hidden) if self._totals.are_norms_only else super().hidden_norm()

    def cell_norm(self) -> Tensor | None:
        """See `RecordedGradients.cell_norm`."""
        if not self._totals.are_norms_only or not self._has_cell_state:
            return super().cell_norm()
        return self._stack_norms(self._totals.cell)

    def _require_vectors(self) -> None:
        if self._totals.are_norms_only:
            raise RuntimeError("this recording was made with gradients='norms' and holds the norms alone")

    def _stack_norms(self, rows: list[Tensor | None]) -> Tensor:
        columns = [None if row is None else row.unsqueeze(-1) for row in rows]
        return self._stack(columns).squeeze(-1)

    def _stack(self, rows: list[Tensor | None]) -> Tensor:
        """Stack what came of all rows of the L*D axis; what never came is zero."""
        came = [row for row in rows if row is not None]
        _check(has_graph=self._has_graph, was_reached=bool(came))
        return torch.stack(
            [unpack_like(torch.zeros_like(came[0]) if row is None else row, self._packed) for row in rows]
        )


def _check(*, has_graph: bool, was_reached: bool) -> None:
    if not has_graph:
        raise RuntimeError("no gradient can reach this layer: it ran without grad mode or nothing in it requires grad")
    if not was_reached:
        raise RuntimeError("no backward pass has reached this layer yet; call backward on a loss made from its output")


def _norm(gradient: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(gradient, dim=-1, dtype=torch.float64)
    return norm
