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

class Layer:
    """
    Cell, sizes and type of one layer and direction. cell: RNN_TANH, RNN_RELU, LSTM, GRU; P: 0 for no projection.
    """

    def __init__(self, cell: int, is_double: bool, T: int, N: int, I: int, H: int, P: int, max_threads: int) -> None: ...

    @property
    def parts(self) -> int:
        """How many threads share out its sequences."""

    def forward_work(self) -> int:
        """Elements of the workspace of `forward`."""

    def backward_work(self) -> int:
        """Elements of the workspace of `backward`."""

    def forward(self, is_reverse: bool, lengths: int, offsets: int, x: int, x_step: int, x_sequence: int, h_0: int, h_0_sequence: int, c_0: int, c_0_sequence: int, W_ih: int, W_hh: int, b_ih: int, b_hh: int, W_hr: int, y: int, y_step: int, y_sequence: int, h_n: int, c_n: int, kept: int, work: int) -> None:
        """All steps; native/recurrent.hpp says what each address is."""

    def backward(self, is_reverse: bool, lengths: int, offsets: int, dy: int, dy_step: int, dy_sequence: int, dy_column: int, dh_n: int, dh_n_sequence: int, dc_n: int, dc_n_sequence: int, dkept: int, x: int, x_step: int, x_sequence: int, h_0: int, h_0_sequence: int, c_0: int, c_0_sequence: int, W_ih: int, W_hh: int, W_hr: int, y: int, y_step: int, y_sequence: int, kept: int, dx: int, dx_step: int, dx_sequence: int, is_dx_added: bool, dh_0: int, dc_0: int, dW_ih: int, dW_hh: int, db_ih: int, db_hh: int, dh: int, dc: int, dh_norm: int, dc_norm: int, work: int) -> None:
        """All gradients; native/recurrent.hpp says what each address is."""

class Stream32:
    """
    Layers that advance step by step; gatewise._native, the only caller, has checked the numbers.
    """

    def __init__(self, cell: int, N: int, layers: list[tuple[int, ...]]) -> None: ...

    def step(self, x: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], out: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')]) -> None:
        """x (N, I) in, h_t (N, P) of the last layer out."""

    def read_state(self, h: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')], c: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')]) -> None:
        """Writes h (L, N, P) and c (L, N, H)."""

    def write_state(self, h: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], c: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)]) -> None: ...

class Stream64:
    """
    Layers that advance step by step; gatewise._native, the only caller, has checked the numbers.
    """

    def __init__(self, cell: int, N: int, layers: list[tuple[int, ...]]) -> None: ...

    def step(self, x: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], out: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')]) -> None:
        """x (N, I) in, h_t (N, P) of the last layer out."""

    def read_state(self, h: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')], c: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')]) -> None:
        """Writes h (L, N, P) and c (L, N, H)."""

    def write_state(self, h: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], c: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)]) -> None: ...
