"""What a comparison needs to know, and what it takes where nothing was said."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from gatewise.compare.matching import Match
from gatewise.data import open_source
from gatewise.errors import UsageError
from gatewise.tasks import MEMORY_TASKS, Task


@dataclass(frozen=True)
class TaskChoice:
    """Which task, in words that another process can repeat."""

    source: str = "adding"  # a memory task, a built-in's name or a file
    length: int | None = None
    target: str | None = None
    window: int | None = None
    horizon: int | None = None
    time: str | None = None
    inputs: tuple[str, ...] = ()

    def open(self) -> Task:
        """Make the task, reading its data.

        Raises
        ------
        UsageError, DataError
            Where the options do not fit or the data cannot be used.
        """
        options = self.options()
        if self.source not in MEMORY_TASKS:
            return open_source(self.source, **options)
        foreign = sorted(options.keys() - {"length"})
        if foreign:
            raise UsageError(f"--{foreign[0]} is for tables; {self.source!r} is a memory task, which takes --length")
        return MEMORY_TASKS[self.source](**options)

    def options(self) -> dict[str, Any]:
        """Return the options that were given."""
        given = asdict(self) | {"inputs": list(self.inputs) or None}
        return {name: value for name, value in given.items() if name != "source" and value is not None}


# Beyond these a typing error is likelier than a wish: an LSTM of 16 384 units has a thousand million parameters.
LARGEST = {"hidden_size": 16_384, "batch_size": 65_536, "max_steps": 10**9, "jobs": 1000}


@dataclass(frozen=True)
class CompareSettings:
    """How the cells are compared."""

    cells: tuple[str, ...] = ("RNN", "LSTM", "GRU")
    seeds: tuple[int, ...] = (0, 1, 2)
    hidden_size: int = 32
    match: Match = "parameters"
    learning_rates: tuple[float, ...] = (1e-2, 3e-3)
    batch_size: int = 32
    max_steps: int | None = None  # None: what suits the task
    time_budget_s: float | None = None  # of each run
    validate_every: int = 50
    clip_norm: float = 1.0
    is_monitored: bool = True  # keep how the gradient fares at each validation
    jobs: int | None = None

    def __post_init__(self) -> None:
        if not self.cells or len(set(self.cells)) < len(self.cells):
            raise UsageError(f"cells must be one or more different ones, got {', '.join(self.cells) or 'none'}")
        if (
            not self.seeds
            or len(set(self.seeds)) < len(self.seeds)
            or not 0 <= min(self.seeds) <= max(self.seeds) < 2**63
        ):
            raise UsageError(
                f"seeds must be different numbers from 0 to 2^63 - 1, got {', '.join(map(str, self.seeds)) or 'none'}"
            )
        for name, largest in LARGEST.items():
            value = getattr(self, name)
            if value is not None and not 1 <= value <= largest:
                bound = "at least 1" if value < 1 else f"at most {largest}"
                raise UsageError(f"--{name.replace('_', '-')} must be {bound}, got {value}")
        # A rate is part of the run folder's name, so rates that print alike would share a folder.
        rates = [f"{rate:g}" for rate in self.learning_rates]
        if len(set(rates)) < len(rates) or not all(0 < rate < math.inf for rate in self.learning_rates):
            raise UsageError(f"learning rates must be positive and all different, got {', '.join(rates)}")
        if not rates:
            raise UsageError("at least one learning rate is needed")
        if self.time_budget_s is not None and not self.time_budget_s > 0:
            raise UsageError(f"--time-budget must be more than 0 seconds, got {self.time_budget_s:g}")


def suggested_max_steps(task: Task) -> int:
    """Return a budget of training steps that suits the task: memory tasks sit on a plateau first."""
    return 2000 if task.goal is not None else 1500
