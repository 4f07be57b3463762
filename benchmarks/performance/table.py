"""What a table of the benchmark is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from gatewise.bench import GRID, Pace, Point, Size


@dataclass
class Part:
    """What one process measures: one table, for one cell; and what it has to say beside its points."""

    cell: str  # "" where the table is not about cells
    sizes: tuple[Size, ...] = GRID
    pace: Pace = field(default_factory=Pace)
    threads: int = 1
    peers: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)  # of the peers that took part
    absent: dict[str, str] = field(default_factory=dict)  # the peers that did not, and why

    @property
    def pace_of_steps(self) -> Pace:
        """The pace where single steps alternate: of these there can be many more rounds."""
        return replace(self.pace, max_rounds=1000)


@dataclass(frozen=True)
class Table:
    """One selectable table; `measure` yields its points."""

    name: str
    title: str
    text: str  # what is measured, and what was aimed at
    measure: Callable[[Part], Iterator[Point]]
    cells: tuple[str, ...] = ("RNN", "LSTM", "GRU")
