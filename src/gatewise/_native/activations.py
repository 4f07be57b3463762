"""exp, tanh and sigmoid as the kernels compute them, with the errors that they state."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

import gatewise._core as _core

Activation = Literal["exp", "tanh", "sigmoid"]
Float = TypeVar("Float", np.float32, np.float64)


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
    >>> from gatewise import _native
    >>> exp(np.zeros(2)) if _native.cpu_levels() else np.ones(2)
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
