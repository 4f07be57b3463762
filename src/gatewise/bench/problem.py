"""What is timed: cells, sizes and jobs, and how many operations each of them takes at least."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from gatewise.errors import UsageError

Job = Literal["inference", "training"]

CELLS = ("RNN", "LSTM", "GRU")
JOBS: tuple[Job, ...] = ("inference", "training")
NUM_GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}  # G: blocks of H rows in W_ih and W_hh

_LARGEST = 2**24  # of a single size; beyond it no machine has the memory


class Size(NamedTuple):
    """N sequences, T steps, I inputs, H hidden units."""

    num_sequences: int
    num_steps: int
    input_size: int
    hidden_size: int

    def __str__(self) -> str:
        return "x".join(map(str, self))

    def flops(self, cell: str, job: Job, num_rows: int | None = None) -> int:
        """Return the floating-point operations of the matrix products alone.

        Inference takes 2 R G H (I + H): a product with W_ih and one with W_hh for each of the R = N T steps. Training
        takes three times that: backward has two products for each of forward's.

        Parameters
        ----------
        cell : str
        job : {"inference", "training"}
        num_rows : int, optional
            R where sequences differ in length: the sum of the lengths.

        Examples
        --------
        >>> Size(8, 200, 32, 64).flops("LSTM", "inference") == 2 * 8 * 200 * 4 * 64 * (32 + 64)
        True
        """
        rows = self.num_sequences * self.num_steps if num_rows is None else num_rows
        products = 3 if job == "training" else 1
        return 2 * products * rows * NUM_GATES[cell] * self.hidden_size * (self.input_size + self.hidden_size)


GRID = (
    Size(1, 100, 64, 64),
    Size(8, 200, 32, 64),
    Size(5, 77, 10, 50),
    Size(20, 60, 13, 100),
    Size(32, 64, 64, 128),
    Size(32, 100, 128, 256),
    Size(64, 50, 512, 512),
)
QUICK_GRID = (GRID[0], GRID[1], GRID[4])


def parse_size(text: str) -> Size:
    """Return the size written as ``NxTxIxH``.

    Raises
    ------
    UsageError
        If it is not four whole numbers from 1 on.

    Examples
    --------
    >>> parse_size("8x200x32x64")
    Size(num_sequences=8, num_steps=200, input_size=32, hidden_size=64)
    """
    if not re.fullmatch(r"\d{1,9}(x\d{1,9}){3}", text):
        raise UsageError(f"a size is NxTxIxH (sequences, steps, inputs, hidden units) as in 8x200x32x64, got {text!r}")
    size = Size(*map(int, text.split("x")))
    if not 1 <= min(size) <= max(size) <= _LARGEST:
        raise UsageError(f"the numbers of a size must be from 1 to {_LARGEST}, got {text}")
    return size
