"""The CPU level: what is chosen, what GATEWISE_ISA may say, and what an error tells."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from gatewise import _native


def import_with_isa(value: str | None, program: str) -> subprocess.CompletedProcess[str]:
    environment = {name: text for name, text in os.environ.items() if name != "GATEWISE_ISA"}
    if value is not None:
        environment["GATEWISE_ISA"] = value
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False, timeout=600
    )


# Without torch, whose import takes seconds: the choice is _core's.
PRINT_LEVEL = "from gatewise import _core; print(_core.cpu_level())"


def test_best_level_is_chosen_by_default() -> None:
    result = import_with_isa(None, PRINT_LEVEL)
    assert result.stdout.strip() == [*_native.cpu_levels(), "none"][0], result.stderr


@pytest.mark.parametrize("level", [*_native.cpu_levels(), "none"])
def test_isa_variable_chooses_the_level(level: str) -> None:
    result = import_with_isa(level, PRINT_LEVEL)
    assert result.stdout.strip() == level, result.stderr


@pytest.mark.parametrize("program", [PRINT_LEVEL, "import gatewise._native"])
def test_unknown_isa_is_an_error_that_names_the_allowed(program: str) -> None:
    result = import_with_isa("avx9", program)
    assert result.returncode == 1
    allowed = ", ".join(f"'{level}'" for level in [*_native.cpu_levels(), "none"])
    expected = f"ValueError: GATEWISE_ISA must be one of {allowed} on this machine, got 'avx9'"
    assert result.stderr.strip().splitlines()[-1] == expected


def test_level_that_cannot_run_here_is_refused() -> None:
    foreign = next(name for name in ("neon", "x86-64-v3") if name not in _native.cpu_levels())
    result = import_with_isa(foreign, PRINT_LEVEL)
    assert "ValueError: GATEWISE_ISA must be one of" in result.stderr
    with pytest.raises(ValueError, match=f"level must be one of .*'none' on this machine, got '{foreign}'"):
        _native.exp(np.zeros(1), level=foreign)


def test_level_none_has_no_kernels() -> None:
    with pytest.raises(ValueError, match="no native kernels"):
        _native.exp(np.zeros(1), level="none")


def test_runnable_levels_are_compiled_ones_in_their_order() -> None:
    compiled = _native.compiled_levels()
    assert _native.cpu_levels() == [level for level in compiled if level in _native.cpu_levels()]


@pytest.mark.parametrize(
    ("machine", "levels"), [("x86_64", ["x86-64-v4", "x86-64-v3"]), ("aarch64", ["neon"]), ("arm64", ["neon"])]
)
def test_every_level_of_the_processor_is_compiled(machine: str, levels: list[str]) -> None:
    if platform.machine() != machine:
        pytest.skip(f"this machine is {platform.machine()}")
    assert _native.compiled_levels() == levels


@pytest.mark.parametrize(
    ("function", "dtype", "message"),
    [
        ("cosh", "float32", "function must be 'exp', 'tanh' or 'sigmoid', got 'cosh'"),
        ("exp", "int64", "dtype must be 'float32' or 'float64', got 'int64'"),
    ],
)
def test_error_bound_of_an_unknown_function_is_refused(function: str, dtype: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _native.max_ulp(function, dtype)  # type: ignore[arg-type]
