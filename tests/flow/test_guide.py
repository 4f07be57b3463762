"""The Python code of the guide on diagnosing runs as it stands there, and prints what the guide shows."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

GUIDE = (Path(__file__).parents[2] / "docs" / "diagnosing.md").read_text(encoding="utf-8")


def test_what_the_guide_shows_of_an_example_is_in_it_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    example = Path(__file__).parents[2] / "examples" / "watch_a_recurrent_agent.py"
    code, shown = re.findall(r"```text\n(.*?)```", GUIDE.partition("## In a library's model")[2], flags=re.DOTALL)
    source = example.read_text(encoding="utf-8")
    assert all(f"\n{line}\n" in source for line in code.splitlines())
    runpy.run_path(str(example), run_name="__main__")
    printed = capsys.readouterr().out.splitlines()
    for line in shown.splitlines():
        if not line.startswith(("...", "values agree")):  # how far float32 is off depends on the machine
            assert line in printed


def test_python_blocks_run_one_after_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL):
        exec(block, names)
    printed = capsys.readouterr().out
    shown = re.findall(r"```text\n(.*?)```", GUIDE, flags=re.DOTALL)
    assert shown[0].splitlines()[0] == printed.splitlines()[0]
    assert shown[1].strip() in printed
