"""The committed stub of the compiled module is the one that nanobind generates from it."""

from pathlib import Path

import pytest

from gatewise import _native

REPOSITORY = Path(__file__).parents[2]
STUB = REPOSITORY / "src" / "gatewise" / "_core.pyi"
PATTERNS = REPOSITORY / "bindings" / "stub.pattern"
COMMAND = "python -m nanobind.stubgen -m gatewise._core -p bindings/stub.pattern -o src/gatewise/_core.pyi"


def lines_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]  # the formatter has its own opinion on blank lines


def generated_stub() -> list[str]:
    stubgen = pytest.importorskip("nanobind.stubgen")
    generator = stubgen.StubGen(_native._core, patterns=stubgen.load_pattern_file(str(PATTERNS)))
    generator.put(_native._core)
    return lines_of(generator.get())


def test_stub_is_up_to_date() -> None:
    assert lines_of(STUB.read_text()) == generated_stub(), f"the bindings changed; run: {COMMAND}"


def test_stub_of_a_changed_module_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(_native._core, "max_ulp")
    assert lines_of(STUB.read_text()) != generated_stub()
