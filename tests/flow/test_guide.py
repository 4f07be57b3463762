"""The Python code of the guide on diagnosing runs as it stands there, and prints what the guide shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

GUIDE = (Path(__file__).parents[2] / "docs" / "diagnosing.md").read_text(encoding="utf-8")


def test_python_blocks_run_one_after_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL):
        exec(block, names)
    printed = capsys.readouterr().out
    shown = re.findall(r"```text\n(.*?)```", GUIDE, flags=re.DOTALL)
    assert shown[0].splitlines()[0] == printed.splitlines()[0]
    assert shown[1].strip() in printed
