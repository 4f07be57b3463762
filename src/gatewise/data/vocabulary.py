"""The classes of a character model: the most frequent characters, and one class for everything else."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

UNKNOWN = "\N{REPLACEMENT CHARACTER}"  # what the class for everything else is written as


class Vocabulary:
    """The characters that have a class of their own, in the order of their code points.

    Parameters
    ----------
    text : str
        The training part; no other text may decide.
    at_most : int, default 256
        Of more different characters the most frequent are kept; of equally frequent ones, the lower code points.

    Attributes
    ----------
    characters : str
        Class k is ``characters[k]``; the class ``len(characters)`` is everything else.
    size : int
        V, the number of classes.

    Examples
    --------
    >>> vocabulary = Vocabulary("abracadabra")
    >>> vocabulary.characters, vocabulary.size
    ('abcdr', 6)
    >>> vocabulary.encode("bad!")
    tensor([1, 0, 3, 5])
    >>> vocabulary.decode([1, 0, 3])
    'bad'
    """

    def __init__(self, text: str, at_most: int = 256) -> None:
        points, counts = np.unique(_code_points(text), return_counts=True)
        most_frequent = np.lexsort((points, -counts))[:at_most]
        self._points = np.sort(points[most_frequent])
        self.characters = "".join(map(chr, self._points))
        self.size = len(self.characters) + 1

    def encode(self, text: str) -> Tensor:
        """Return the class of every character of `text`: (R,) int64."""
        points = _code_points(text)
        index = np.searchsorted(self._points, points)
        known = np.append(self._points, 0)[index] == points
        return torch.from_numpy(np.where(known, index, len(self.characters)))

    def decode(self, classes: Iterable[int]) -> str:
        """Return the text of `classes`; everything else is written as U+FFFD."""
        written = self.characters + UNKNOWN
        return "".join(written[int(index)] for index in classes)

    def one_hot(self, classes: Tensor) -> Tensor:
        """Return a one at each class: (..., V) float32 for classes of shape (...)."""
        encoded = torch.zeros(*classes.shape, self.size)
        return encoded.scatter_(-1, classes[..., None], 1.0)


def _code_points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4").astype(np.uint32)
