"""The native core as Python sees it: the only importer of the compiled module ``gatewise._core``."""

from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

# Before _core, and not for its names: torch brings its own OpenMP runtime, and a library loaded after it under the same
# name shares that runtime and its threads. Loaded the other way round, two pools could fight for the same cores.
import torch  # noqa: F401

import gatewise._core as _core

__all__ = ["Activation", "compiled_levels", "cpu_level", "cpu_levels", "exp", "max_ulp", "sigmoid", "tanh"]

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
