"""A text as a task: predict every next character. N windows, T steps, V classes."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Literal

import torch.nn.functional as F
from torch import Generator, Tensor

from gatewise.data.character_baselines import character_baselines
from gatewise.data.files import decode, folder_name, grouped, read_bytes, sha256
from gatewise.data.split import Shares
from gatewise.data.vocabulary import Vocabulary
from gatewise.data.windows import drawn, evenly_spread, gather
from gatewise.errors import DataError, UsageError
from gatewise.tasks import Baseline, Batch, Metric, Source, Task

SHARES = Shares(training=80, validation=10, test=10)
_MAX_WINDOWS = 200  # a validation is run every few steps of training and has to stay quick


@dataclass(frozen=True)
class Text:
    """A text and where it comes from."""

    name: str
    content: str
    source: Source


def text_from_bytes(content: bytes, path: str, name: str) -> Text:
    """Return the `Text` of UTF-8 bytes; `path` is what messages and the run record call it."""
    text = decode(content, path)
    return Text(name, text, Source(path, sha256(content), f"{grouped(len(text))} characters"))


def read_text(path: str | Path) -> Text:
    """Read a UTF-8 file, named by its stem.

    Raises
    ------
    UsageError
        If there is no such file or it cannot be read.
    DataError
        If it is empty, binary or not UTF-8.
    """
    return text_from_bytes(read_bytes(path), str(path), Path(path).stem)


class CharacterTask(Task):
    """Predict every next character of a text.

    The first 80 % of the characters are for training, the next 10 % for validation, the last 10 % for the test. The
    vocabulary and the baselines are counted on the training part alone.

    Parameters
    ----------
    text : Text
    sequence_length : int, default 64
        T.

    Attributes
    ----------
    vocabulary : Vocabulary
        V = ``vocabulary.size`` classes.

    Raises
    ------
    UsageError
        If `sequence_length` is below 1.
    DataError
        If a part does not hold T + 1 characters.

    Notes
    -----
    Inputs are one-hot, (N, T, V) float32; targets the classes of the characters that follow, (N, T) int64.
    """

    readout: Literal["last", "every"] = "every"
    metric = Metric("bits per character", "lower")

    def __init__(self, text: Text, sequence_length: int = 64) -> None:
        if sequence_length < 1:
            raise UsageError(f"--length must be at least 1, got {sequence_length}")
        _check_length(text, sequence_length)
        self._split = SHARES.split(len(text.content))
        self.vocabulary = Vocabulary(text.content[: self._split.training.stop])
        self._classes = self.vocabulary.encode(text.content)
        self.name = f"text-{folder_name(text.name)}"
        self.description = f"Predict the next character of {text.name} from the {sequence_length} or fewer before it."
        self.input_size = self.output_size = self.vocabulary.size
        self.sequence_length = sequence_length
        self.source = text.source

    def training_batch(self, batch_size: int, generator: Generator) -> Batch:
        """Draw windows at random positions of the training part."""
        starts = range(len(self._split.training) - self.sequence_length)
        return self._batch(drawn(starts, batch_size, generator))

    def validation(self) -> Batch:
        """Return windows that tile the validation part, or 200 of them evenly spread."""
        return self._batch(self._tiles(self._split.validation))

    def test(self) -> Batch:
        """Return windows that tile the test part, or 200 of them evenly spread."""
        return self._batch(self._tiles(self._split.test))

    def baselines(self) -> tuple[Baseline, ...]:
        """Return the bits per character of chance, of counted characters and of counted pairs, on the test windows."""
        training = self._classes[: self._split.training.stop]
        return character_baselines(training, *self._pairs(self._tiles(self._split.test)), self.vocabulary.size)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy in nats, of outputs (N, T, V) and targets (N, T)."""
        return F.cross_entropy(outputs.flatten(0, 1), targets.flatten())

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """Return the mean cross-entropy in bits per character, of outputs (N, T, V) and targets (N, T)."""
        return self.loss(outputs.double(), targets).item() / log(2)

    def _tiles(self, part: range) -> Tensor:
        """Return the first characters of windows that share no target: (N,)."""
        starts = range(part.start, part.stop - self.sequence_length, self.sequence_length)
        return evenly_spread(starts, _MAX_WINDOWS)

    def _pairs(self, starts: Tensor) -> tuple[Tensor, Tensor]:
        """Return the classes of the inputs and of the targets, (N, T) each."""
        windows = gather(self._classes, starts, self.sequence_length + 1)
        return windows[:, :-1], windows[:, 1:]

    def _batch(self, starts: Tensor) -> Batch:
        previous, following = self._pairs(starts)
        return Batch(self.vocabulary.one_hot(previous), following)


def _check_length(text: Text, sequence_length: int) -> None:
    each = sequence_length + 1
    needed = SHARES.smallest_length(training=each, validation=each, test=each)
    if len(text.content) < needed:
        raise DataError(
            f"{text.source.path} has {text.source.size}; sequences of {sequence_length} need at least "
            f"{grouped(needed)}, so that the last {SHARES.test} % hold one: give a longer text or a shorter --length"
        )
