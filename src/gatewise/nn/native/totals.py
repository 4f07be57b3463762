"""The total gradients that the native backward hands out on its way."""

from __future__ import annotations

from torch import Tensor


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
        self.hidden: list[Tensor | None] = [None] * num_rows
        self.cell: list[Tensor | None] = [None] * num_rows

    def add(self, row: int, hidden: Tensor | None, cell: Tensor | None) -> None:
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
        if hidden is not None:
            self.hidden[row] = _sum(self.hidden[row], hidden)
        if cell is not None:
            self.cell[row] = _sum(self.cell[row], cell)

    def add_norms(self, row: int, hidden: Tensor, cell: Tensor | None) -> None:
        """Take the norms of the only backward pass.

        Raises
        ------
        RuntimeError
            On a second pass, since the norm of a sum is not the sum of the norms.
        """
        if self.hidden[row] is not None:
            raise RuntimeError(
                "a second backward pass reached a recording made with gradients='norms', and norms do not add up; "
                "record with gradients=True"
            )
        self.hidden[row], self.cell[row] = hidden, cell


def _sum(before: Tensor | None, gradient: Tensor) -> Tensor:
    return gradient if before is None else before + gradient
