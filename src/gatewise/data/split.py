"""The chronological split: train on the past, choose on what follows, test on the end."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Split:
    """Three ranges of positions that follow each other and cover the whole."""

    training: range
    validation: range
    test: range


@dataclass(frozen=True)
class Shares:
    """How a whole is divided, in per cent that add up to 100."""

    training: int
    validation: int
    test: int

    def split(self, length: int) -> Split:
        """Return the parts of `length` positions; the boundaries are rounded down.

        >>> Shares(80, 10, 10).split(99)
        Split(training=range(0, 79), validation=range(79, 89), test=range(89, 99))
        """
        first = length * self.training // 100
        second = length * (self.training + self.validation) // 100
        return Split(range(first), range(first, second), range(second, length))

    def smallest_length(self, training: int, validation: int, test: int) -> int:
        """Return a length from which on every part is at least as long as asked.

        A part of p per cent never holds fewer than ``floor(p length / 100)`` positions, whatever the rounding.

        >>> Shares(70, 15, 15).smallest_length(training=49, validation=1, test=1)
        70
        """
        wanted = ((training, self.training), (validation, self.validation), (test, self.test))
        return max(-(-100 * positions // per_cent) for positions, per_cent in wanted)
