"""Small files to read, in a folder of their own, so that messages name them as a user would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from data.small_files import Write
from gatewise.tasks import Batch


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Return a function that writes a file and returns its relative path."""
    monkeypatch.chdir(tmp_path)

    def write_file(name: str, content: str | bytes) -> str:
        Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return name

    return write_file


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


@pytest.fixture
def same() -> Callable[[Batch, Batch], bool]:
    return lambda one, other: torch.equal(one.inputs, other.inputs) and torch.equal(one.targets, other.targets)
