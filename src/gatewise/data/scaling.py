"""Scale columns to mean 0 and standard deviation 1, as measured on the training part. C columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gatewise.errors import DataError


@dataclass(frozen=True)
class Scaler:
    """The mean and the standard deviation of each column, (C,) each."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    def scale(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ``(values - mean) / std`` for values of shape (..., C)."""
        scaled: NDArray[np.float64] = (values - self.mean) / self.std
        return scaled

    def restore(self, scaled: NDArray[np.float64], column: int = 0) -> NDArray[np.float64]:
        """Return the values of one column in their own unit, for scaled values of any shape."""
        values: NDArray[np.float64] = scaled * self.std[column] + self.mean[column]
        return values


def fit_scaler(training: NDArray[np.float64], names: list[str], path: str) -> Scaler:
    """Return the scaler of the training part.

    Parameters
    ----------
    training : ndarray of shape (R, C)
        The rows of the training part and no others.
    names : list of str
        What messages call the columns.
    path : str
        What messages call the table.

    Raises
    ------
    DataError
        If a column is constant, or its numbers are too large or too small to take a variance.
    """
    for column, name in enumerate(names):
        values = training[:, column]
        if values.min() == values.max():
            raise DataError(
                f"{path}: column {name!r} is constant ({values[0]:g}) in the training part, "
                f"the first {len(values)} rows: there is nothing to learn from it"
            )
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        mean, std = training.mean(axis=0), training.std(axis=0)
    for name, deviation in zip(names, std, strict=True):
        if not 0 < deviation < np.inf:
            raise DataError(f"{path}: column {name!r} cannot be scaled: its standard deviation is {deviation:g}")
    return Scaler(mean, std)
