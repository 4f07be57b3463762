"""The native core as Python sees it: the only importer of the compiled module ``gatewise._core``."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

# Before _core, and not only for its names: torch brings its own OpenMP runtime, and a library loaded after it under the
# same name shares that runtime and its threads. Loaded the other way round, two pools could fight for the same cores.
import torch
from torch import Tensor

import gatewise._core as _core

__all__ = [
    "Activation",
    "backward",
    "compiled_levels",
    "cpu_level",
    "cpu_levels",
    "exp",
    "forward",
    "max_ulp",
    "serial_in_forked_child",
    "sigmoid",
    "tanh",
]

Activation = Literal["exp", "tanh", "sigmoid"]
Float = TypeVar("Float", np.float32, np.float64)

_core.cpu_level()  # a GATEWISE_ISA that cannot be used is an error now, not in the middle of somebody's training


def cpu_level() -> str:
    """Return the CPU level whose kernels are in use.

    Returns
    -------
    str
        ``"x86-64-v4"`` (AVX-512), ``"x86-64-v3"`` (AVX2 and FMA), ``"neon"`` (aarch64), or ``"none"`` where there are
        no native kernels and the layers do without.

    Notes
    -----
    The best of :func:`cpu_levels`, unless the environment variable ``GATEWISE_ISA`` named another before the import.

    Examples
    --------
    >>> cpu_level() in [*cpu_levels(), "none"]
    True
    """
    return _core.cpu_level()


def cpu_levels() -> list[str]:
    """Return the CPU levels with native kernels that this machine can run, best first; empty where there is none.

    Examples
    --------
    >>> set(cpu_levels()) <= set(compiled_levels())
    True
    """
    return _core.cpu_levels()


def compiled_levels() -> list[str]:
    """Return the CPU levels with native kernels in this build, best first, whether or not this machine can run them."""
    return _core.compiled_levels()


def exp(
    x: npt.NDArray[Float], *, out: npt.NDArray[Float] | None = None, level: str | None = None
) -> npt.NDArray[Float]:
    """Return ``exp(x)`` as the native kernels compute it.

    Parameters
    ----------
    x : contiguous array of shape (n,), float32 or float64
    out : array like `x`, optional
        Where the result goes; may be `x`, must not overlap it otherwise. A new array by default.
    level : str, optional
        One of :func:`cpu_levels`. The level in use by default.

    Returns
    -------
    numpy.ndarray of shape (n,)
        `out`. Its error is at most :func:`max_ulp` at every element.

    Raises
    ------
    ValueError
        If an argument is not as described, or the level has no native kernels.

    Examples
    --------
    >>> exp(np.zeros(2)) if cpu_levels() else np.ones(2)
    array([1., 1.])
    """
    return _evaluate(_core.exp, x, out, level)


def tanh(
    x: npt.NDArray[Float], *, out: npt.NDArray[Float] | None = None, level: str | None = None
) -> npt.NDArray[Float]:
    """Return ``tanh(x)`` as the native kernels compute it; parameters and errors as for :func:`exp`."""
    return _evaluate(_core.tanh, x, out, level)


def sigmoid(
    x: npt.NDArray[Float], *, out: npt.NDArray[Float] | None = None, level: str | None = None
) -> npt.NDArray[Float]:
    """Return ``1 / (1 + exp(-x))`` as the native kernels compute it; parameters and errors as for :func:`exp`."""
    return _evaluate(_core.sigmoid, x, out, level)


def max_ulp(function: Activation, dtype: npt.DTypeLike) -> float:
    """Return the largest error that a function makes over all finite inputs, in units in the last place.

    The unit is the distance between neighbouring numbers of `dtype` around the exact result, and never less than the
    smallest subnormal number.

    Examples
    --------
    >>> max_ulp("tanh", np.float32) < 4
    True
    """
    return _core.max_ulp(function, np.dtype(dtype).name)


def _evaluate(
    function: Any, x: npt.NDArray[Float], out: npt.NDArray[Float] | None, level: str | None
) -> npt.NDArray[Float]:
    if x.dtype not in (np.float32, np.float64) or x.ndim != 1 or not x.flags.c_contiguous:
        raise ValueError(f"x must be a contiguous float32 or float64 array of shape (n,), got {_described(x)}")
    if out is None:
        out = np.empty_like(x)
    elif out.dtype != x.dtype or out.ndim != 1 or not out.flags.c_contiguous or not out.flags.writeable:
        raise ValueError(f"out must be a writable contiguous {x.dtype} array of shape {x.shape}, got {_described(out)}")
    function(x, out, level)
    return out


def _described(array: npt.NDArray[Any]) -> str:
    contiguous = "contiguous" if array.flags.c_contiguous else "strided"
    writable = "" if array.flags.writeable else "read-only "
    return f"a {writable}{contiguous} {array.dtype} array of shape {array.shape}"


_CELLS = {"RNN_TANH": 0, "RNN_RELU": 1, "LSTM": 2, "GRU": 3}


def forward(
    mode: str,
    direction: int,
    x: Tensor,
    initial: tuple[Tensor, Tensor | None],
    weights: tuple[Tensor, Tensor, Tensor | None, Tensor | None],
    output: Tensor,
    final: tuple[Tensor, Tensor | None],
    kept: tuple[Tensor, Tensor] | None,
    lengths: Tensor | None = None,
) -> None:
    """Run one direction of a layer over all its steps, on at most ``torch.get_num_threads()`` threads.

    T steps, N sequences, I inputs, H hidden units, D directions, G blocks (RNN 1, LSTM 4, GRU 3). All tensors are
    float32 or all float64, on the CPU, and their last axis is contiguous; what is written is contiguous altogether.

    Parameters
    ----------
    mode : {"RNN_TANH", "RNN_RELU", "LSTM", "GRU"}
    direction : {0, 1}
        1 walks backwards in time. Which part of `initial`, `output` and `final` is read and written.
    x : (T, N, I)
        Never read past a sequence's end.
    initial : (h_0, c_0)
        Each (D, N, H); c_0 for the LSTM only.
    weights : (weight_ih (G*H, I), weight_hh (G*H, H), bias_ih (G*H,), bias_hh (G*H,)), contiguous
        Biases may be None.
    output : (T, N, D*H)
        Written: h_t, zero past each sequence's end.
    final : (h_n, c_n)
        Written: each (D, N, H); c_n for the LSTM only.
    kept : (gates (T, N, G*H), more (T, N, H)), optional
        Written for :func:`backward` of LSTM and GRU: gates after the activation, and c_t or W_hn h_{t-1} + b_hn.
    lengths : (N,) int64, 0..T, optional
    """
    (h_0, c_0), (w_ih, w_hh, b_ih, b_hh), (h_n, c_n) = initial, weights, final
    (num_steps, num_sequences, input_size), hidden_size = x.shape, h_0.shape[2]
    cell, is_double = _CELLS[mode], x.dtype == torch.float64
    size = (num_steps, num_sequences, input_size, hidden_size)
    parts = _core.parts(cell, *size, torch.get_num_threads())
    work = torch.empty(_core.work(is_double, cell, *size, parts, False), dtype=x.dtype, device="cpu")
    gates, more = kept or (None, None)
    _core.forward(
        is_double,
        cell,
        *size,
        parts,
        direction == 1,
        _address(lengths),
        *_steps(x, 0),
        *_rows(h_0, direction),
        *_rows(c_0, direction),
        w_ih.data_ptr(),
        w_hh.data_ptr(),
        _address(b_ih),
        _address(b_hh),
        *_steps(output, direction * hidden_size),
        _rows(h_n, direction)[0],
        _rows(c_n, direction)[0],
        _address(gates),
        _address(more),
        work.data_ptr(),
    )


def backward(
    mode: str,
    direction: int,
    cotangents: tuple[Tensor | None, Tensor | None, Tensor | None],
    initial: tuple[Tensor, Tensor | None],
    weight_hh: Tensor,
    output: Tensor,
    kept: tuple[Tensor, Tensor] | None,
    gradients: tuple[Tensor, Tensor, Tensor | None],
    lengths: Tensor | None = None,
) -> None:
    """Compute the gradients of the preactivations and of the initial states; tensors as in :func:`forward`.

    Parameters
    ----------
    mode : str
    direction : {0, 1}
    cotangents : (grad_output (T, N, D*H), grad_h_n (D, N, H), grad_c_n (D, N, H))
        dL/dy_t, dL/dh_n, dL/dc_n; None is zero.
    initial : (h_0, c_0)
    weight_hh : (G*H, H)
    output, kept
        What :func:`forward` wrote.
    gradients : (da (T, N, G*H), for the GRU (T, N, 4H), grad_h_0 (D, N, H), grad_c_0 (D, N, H))
        Written. da: the RNN's da; the LSTM's di, df, dg, do; the GRU's dn, dr, dz, r*dn, of which the first three
        belong to W_ih and the last three to W_hh. Zero past each sequence's end.
    lengths : (N,) int64, optional
    """
    (grad_output, grad_h_n, grad_c_n), (h_0, c_0), (da, grad_h_0, grad_c_0) = cotangents, initial, gradients
    (num_steps, num_sequences, _), hidden_size = output.shape, h_0.shape[2]
    cell, is_double = _CELLS[mode], output.dtype == torch.float64
    size = (num_steps, num_sequences, hidden_size, hidden_size)  # I does not matter here
    parts = _core.parts(cell, *size, torch.get_num_threads())
    work = torch.empty(_core.work(is_double, cell, *size, parts, True), dtype=output.dtype, device="cpu")
    gates, more = kept or (None, None)
    _core.backward(
        is_double,
        cell,
        *size,
        parts,
        direction == 1,
        _address(lengths),
        *_steps(grad_output, direction * hidden_size),
        *_rows(grad_h_n, direction),
        *_rows(grad_c_n, direction),
        *_rows(h_0, direction),
        *_rows(c_0, direction),
        weight_hh.data_ptr(),
        *_steps(output, direction * hidden_size),
        _address(gates),
        _address(more),
        da.data_ptr(),
        _rows(grad_h_0, direction)[0],
        _rows(grad_c_0, direction)[0],
        work.data_ptr(),
    )


@contextmanager
def serial_in_forked_child() -> Iterator[None]:
    """Let torch's operators use one thread if this process is a forked child, where more of them wait for ever."""
    count = torch.get_num_threads()
    if not _is_forked_child or count == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(count)


_is_forked_child = False


def _after_fork() -> None:
    global _is_forked_child
    _is_forked_child = True


os.register_at_fork(after_in_child=_after_fork)


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _steps(tensor: Tensor | None, first: int) -> tuple[int, int, int]:
    """Return the address of [0, 0, first] of (T, N, *) and its strides. Slicing instead would cost microseconds."""
    if tensor is None:
        return 0, 0, 0
    return tensor.data_ptr() + first * tensor.element_size(), tensor.stride(0), tensor.stride(1)


def _rows(tensor: Tensor | None, direction: int) -> tuple[int, int]:
    """Return the address of [direction, 0, 0] of (D, N, H) and the stride from sequence to sequence."""
    if tensor is None:
        return 0, 0
    return tensor.data_ptr() + direction * tensor.stride(0) * tensor.element_size(), tensor.stride(1)
