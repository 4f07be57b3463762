"""The total gradients that the native backward hands out on its way."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from gatewise._native import tensor_of


class TotalGradients:
    """dL/dh_t and dL/dc_t of one call of a layer, or their norms alone; backward passes add up, as in ``.grad``.

    Gradients stand as the call's rows do, (T, N, *) or packed (R, *), norms (T, N) or (R,), one entry a row of the L*D
    axis.

    Parameters
    ----------
    num_rows : int
        L*D.
    are_norms_only : bool
        Keep the norms and not the gradients, which take as much memory as the states.
    """

    def __init__(self, num_rows: int, are_norms_only: bool) -> None:
        self.are_norms_only = are_norms_only
        # Tensors, or row memory, which becomes one where somebody reads it: making one takes 10 us between two kernels.
        self._hidden: list[object] = [None] * num_rows
        self._cell: list[object] = [None] * num_rows

    @property
    def hidden(self) -> list[Tensor | None]:
        """dL/dh_t or its norm by row, None where none has come."""
        return _as_tensors(self._hidden)

    @property
    def cell(self) -> list[Tensor | None]:
        """dL/dc_t or its norm by row, None where none has come or there is no cell state."""
        return _as_tensors(self._cell)

    def add(self, row: int, hidden: object, cell: object) -> None:
        """Add gradients of a backward pass; None adds nothing.

        Raises
        ------
        RuntimeError
            Where only norms are kept: those of a backward with create_graph come step by step and in several passes.
        """
        if self.are_norms_only:
            raise RuntimeError(
                "a recording made with gradients='norms' cannot follow create_graph; record with gradients=True"
            )
        for rows, gradient in ((self._hidden, hidden), (self._cell, cell)):
            before = rows[row]
            if gradient is not None:
                rows[row] = gradient if before is None else _as_tensor(before) + _as_tensor(gradient)

    def add_norms(self, row: int, hidden: object, cell: object) -> None:
        """Take the norms of the only backward pass.

        Raises
        ------
        RuntimeError
            On a second pass, since the norm of a sum is not the sum of the norms.
        """
        if self._hidden[row] is not None:
            raise RuntimeError(
                "a second backward pass reached a recording made with gradients='norms', and norms do not add up; "
                "record with gradients=True"
            )
        self._hidden[row], self._cell[row] = hidden, cell

    def __getstate__(self) -> dict[str, Any]:
        """Return what is copied or pickled: tensors."""
        return {**self.__dict__, "_hidden": _without_gaps(self.hidden), "_cell": _without_gaps(self.cell)}


def _without_gaps(rows: list[Tensor | None]) -> list[Tensor | None]:
    return [None if row is None else row.contiguous() for row in rows]


def _as_tensors(entries: list[object]) -> list[Tensor | None]:
    return [None if entry is None else _as_tensor(entry) for entry in entries]


def _as_tensor(entry: object) -> Tensor:
    return entry if isinstance(entry, Tensor) else tensor_of(entry)
