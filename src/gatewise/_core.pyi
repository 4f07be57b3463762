"""The compiled part of Gatewise; gatewise._native is its only user."""

from typing import Annotated, overload

import numpy
from numpy.typing import NDArray
import torch


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

def has_exchange_table() -> bool:
    """Whether torch shows its tensors without a detour through Python."""

def are_plain(tensors: list[torch.Tensor], is_double: bool) -> bool:
    """
    Whether all are tensors or parameters proper, dense, on the CPU, of the type and no negated views. Needs the table.
    """

def are_plain_of_shapes(rows: list[list[torch.Tensor]], shapes: tuple[tuple[tuple[int, ...], ...], ...], is_double: bool) -> bool:
    """
    Whether all tensors of all rows are plain and have these shapes. Needs the table.
    """

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

def tensor_of(memory: object) -> torch.Tensor:
    """What a backward handed out, as a tensor, which keeps it alive."""

class Layer:
    """
    Cell, sizes and type of one layer and direction. cell: RNN_TANH, RNN_RELU, LSTM, GRU; P: 0 for no projection.
    """

    def __init__(self, cell: int, is_double: bool, direction: int, T: int, N: int, I: int, H: int, P: int, max_threads: int) -> None: ...

    @property
    def parts(self) -> int:
        """How many threads share out its sequences."""

    @property
    def crew(self) -> int:
        """
        How many share out its units instead, where they can walk together; else 1.
        """

    def forward_work(self) -> int:
        """Elements of the workspace of `forward`."""

    def backward_work(self) -> int:
        """Elements of the workspace of `backward`."""

    def forward(self, lengths: torch.Tensor | None, offsets: torch.Tensor | None, x: torch.Tensor, h_0: torch.Tensor | None, c_0: torch.Tensor | None, W_ih: torch.Tensor, W_hh: torch.Tensor, b_ih: torch.Tensor | None, b_hh: torch.Tensor | None, W_hr: torch.Tensor | None, y: torch.Tensor, h_n: torch.Tensor, c_n: torch.Tensor | None, kept: torch.Tensor | None, work: torch.Tensor) -> None:
        """All steps; native/recurrent.hpp says what each tensor is."""

    def backward(self, lengths: torch.Tensor | None, offsets: torch.Tensor | None, dy: torch.Tensor | None, dh_n: torch.Tensor | None, dc_n: torch.Tensor | None, dkept: torch.Tensor | None, x: torch.Tensor, h_0: torch.Tensor | None, c_0: torch.Tensor | None, W_ih: torch.Tensor, W_hh: torch.Tensor, W_hr: torch.Tensor | None, y: torch.Tensor, kept: torch.Tensor | None, dx: torch.Tensor | None, dh_0: torch.Tensor | None, dc_0: torch.Tensor | None, dW_ih: torch.Tensor | None, dW_hh: torch.Tensor | None, db_ih: torch.Tensor | None, db_hh: torch.Tensor | None, wants_dh: bool, wants_dc: bool, wants_norms: bool, work: torch.Tensor) -> tuple[object, object, object, object]:
        """
        All gradients; native/recurrent.hpp says what each tensor is. Returns memory of dL/dh_t, dL/dc_t and their
        norms, None for what is not wanted.
        """

class Stream32:
    """
    Layers that advance step by step; gatewise._native, the only caller, has checked the numbers.
    """

    def __init__(self, cell: int, N: int, layers: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]]) -> None: ...

    def step(self, x: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], out: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu')]) -> None:
        """x (N, I) in, h_t (N, P) of the last layer out."""

    def read_state(self, h: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')], c: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')]) -> None:
        """Writes h (L, N, P) and c (L, N, H)."""

    def write_state(self, h: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], c: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)]) -> None: ...

class Stream64:
    """
    Layers that advance step by step; gatewise._native, the only caller, has checked the numbers.
    """

    def __init__(self, cell: int, N: int, layers: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]]) -> None: ...

    def step(self, x: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], out: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu')]) -> None:
        """x (N, I) in, h_t (N, P) of the last layer out."""

    def read_state(self, h: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')], c: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')]) -> None:
        """Writes h (L, N, P) and c (L, N, H)."""

    def write_state(self, h: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], c: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)]) -> None: ...
