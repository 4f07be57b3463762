"""The committed stub of the compiled module is the one that nanobind generates from it."""

from pathlib import Path
from types import ModuleType

import pytest

from gatewise import _native

REPOSITORY = Path(__file__).parents[2]
STUB = REPOSITORY / "src" / "gatewise" / "_core.pyi"
PATTERNS = REPOSITORY / "bindings" / "stub.pattern"
COMMAND = "python -m nanobind.stubgen -m gatewise._core -p bindings/stub.pattern -o src/gatewise/_core.pyi"


def lines_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]  # the formatter has its own opinion on blank lines


def generated_stub(module: ModuleType) -> list[str]:
    stubgen = pytest.importorskip("nanobind.stubgen")
    generator = stubgen.StubGen(module, patterns=stubgen.load_pattern_file(str(PATTERNS)))
    generator.put(module)
    return lines_of(generator.get())


def test_stub_is_up_to_date() -> None:
    assert lines_of(STUB.read_text()) == generated_stub(_native._core), f"the bindings changed; run: {COMMAND}"


def test_stub_of_a_changed_module_is_noticed() -> None:
    """On a copy: a name that is taken from the module and put back stands last in it, and so in the next stub."""
    changed = ModuleType(_native._core.__name__, _native._core.__doc__)
    vars(changed).update(vars(_native._core))
    assert lines_of(STUB.read_text()) == generated_stub(changed)
    del changed.max_ulp
    assert lines_of(STUB.read_text()) != generated_stub(changed)
