"""The compiled part of Gatewise; gatewise._native is its only user."""

from typing import Annotated, overload

import numpy
from numpy.typing import NDArray

# Generated from the bindings by nanobind.stubgen; tests/native/test_stub.py says how.
# ruff: noqa
# fmt: off

def cpu_level() -> str:
    """
    The CPU level in use: the one that the environment variable GATEWISE_ISA names, else the best that runs here.
    """

def cpu_levels() -> list[str]:
    """
    The CPU levels with native kernels that this machine can run, best first.
    """

def compiled_levels() -> list[str]:
    """The CPU levels with native kernels in this build, best first."""

@overload
def exp(x: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], out: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu')], level: str | None = None) -> None: ...

@overload
def exp(x: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], out: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu')], level: str | None = None) -> None:
    """
    Write exp(x) to out, which may be x. level: a CPU level, None for the one in use.
    """

@overload
def tanh(x: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], out: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu')], level: str | None = None) -> None: ...

@overload
def tanh(x: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], out: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu')], level: str | None = None) -> None:
    """
    Write tanh(x) to out, which may be x. level: a CPU level, None for the one in use.
    """

@overload
def sigmoid(x: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)], out: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu')], level: str | None = None) -> None: ...

@overload
def sigmoid(x: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], out: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu')], level: str | None = None) -> None:
    """
    Write 1 / (1 + exp(-x)) to out, which may be x. level: a CPU level, None for the one in use.
    """

def max_ulp(function: str, dtype: str) -> float:
    """
    The largest error of a function, in units in the last place of the exact result, over all finite inputs.
    """
