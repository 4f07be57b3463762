"""A trained layer, advanced one step at a time: for data that arrive while the model runs.

Shapes: N sequences, I inputs, H hidden units, P projection (P = H without one), L layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import RNNBase

from gatewise import _native
from gatewise.nn.form import form_of
from gatewise.nn.weights import equations_of, given_weights, weights_of

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class StreamState:
    """What a stream remembers between two steps."""

    hidden: Array  # (L, N, P)
    cell: Array | None  # (L, N, H), LSTM only


class Stream:
    """A recurrent layer with its state; made by `stream`.

    Attributes
    ----------
    dtype : numpy.dtype
        Of inputs and outputs, that of the layer.
    input_shape, output_shape : tuple of int
        (N, I) and (N, P).
    """

    def __init__(self, layer: RNNBase, batch_size: int) -> None:
        _check(layer, batch_size)
        rows = [weights_of(layer, row).map(_detached) for row in range(layer.num_layers)]
        weights = [(row.input, row.recurrent, row.input_bias, row.recurrent_bias, row.projection) for row in rows]
        self.dtype = np.dtype(np.float64 if rows[0].input.dtype == torch.float64 else np.float32)
        state_size = layer.proj_size or layer.hidden_size
        self.input_shape = (batch_size, layer.input_size)
        self.output_shape = (batch_size, state_size)
        self._state_shape = (layer.num_layers, batch_size, state_size)
        self._cell_shape = (layer.num_layers, batch_size, layer.hidden_size)
        self._has_cell_state = equations_of(layer).has_cell_state
        self._stream = _native.make_stream(layer.mode, batch_size, weights)

    def step(self, x: Array, out: Array | None = None) -> Array:
        """Advance by one step.

        Parameters
        ----------
        x : array of shape (N, I), of the stream's dtype and contiguous
            The next input of each sequence.
        out : array of shape (N, P), optional
            Where the output goes; a new array by default.

        Returns
        -------
        array of shape (N, P)
            h_t of the last layer: the bits that the layer itself gives on the native path.

        Raises
        ------
        ValueError, TypeError
            If an array has another shape, dtype or memory layout.
        """
        if out is None:
            out = np.empty(self.output_shape, self.dtype)
        try:
            self._stream.step(x, out)
        except TypeError:
            raise TypeError(self._explain(x, out)) from None
        return out

    @property
    def state(self) -> StreamState:
        """A copy of what the stream remembers; assign one to go on from there."""
        hidden = np.empty(self._state_shape, self.dtype)
        cell = np.empty(self._cell_shape, self.dtype)
        self._stream.read_state(hidden, cell)
        return StreamState(hidden, cell if self._has_cell_state else None)

    @state.setter
    def state(self, state: StreamState) -> None:
        if self._has_cell_state != (state.cell is not None):
            expected = "hidden and cell" if self._has_cell_state else "hidden alone, cell None"
            raise ValueError(f"state must have {expected}")
        hidden = self._checked("state.hidden", state.hidden, self._state_shape)
        cell = np.zeros(self._cell_shape, self.dtype)
        if state.cell is not None:
            cell = self._checked("state.cell", state.cell, self._cell_shape)
        self._stream.write_state(hidden, cell)

    def reset(self, sequences: Sequence[int] | None = None) -> None:
        """Forget everything, or what `sequences` (numbers below N) remember: their next step starts from zeros.

        Raises
        ------
        IndexError
            If there is no such sequence.
        """
        state = self.state
        chosen = slice(None) if sequences is None else list(sequences)
        for part in (state.hidden, state.cell):
            if part is not None:
                part[:, chosen] = 0
        self.state = state

    def _checked(self, name: str, values: Array, shape: tuple[int, ...]) -> Array:
        array = np.ascontiguousarray(values, self.dtype)
        if array.shape != shape:
            raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
        return array

    def _explain(self, x: object, out: object) -> str:
        """Say which of the arrays the compiled step did not take, and why."""
        for name, value, shape in (("x", x, self.input_shape), ("out", out, self.output_shape)):
            expected = f"{name} must be a contiguous {self.dtype} array of shape {shape}"
            if not isinstance(value, np.ndarray):
                return f"{expected}, got {type(value).__name__}"
            if value.dtype != self.dtype or value.ndim != 2 or not value.flags.c_contiguous:
                layout = "contiguous" if value.flags.c_contiguous else "strided"
                return f"{expected}, got a {layout} {value.dtype} array of shape {value.shape}"
        return "out must be writable"


def stream(layer: RNNBase, batch_size: int = 1) -> Stream:
    """Return `layer` as a stream: a step takes and gives numpy arrays, and the state stays inside.

    Parameters
    ----------
    layer : torch.nn or gatewise RNN, LSTM or GRU
        Of one direction, float32 or float64, on the CPU. Its weights are copied: later training does not reach the
        stream. Dropout is off.
    batch_size : int, default 1
        N, how many sequences advance together.

    Raises
    ------
    TypeError
        If `layer` is no such layer.
    ValueError
        If it is bidirectional, of another dtype or device, or `batch_size` is below 1.
    RuntimeError
        Where there are no native kernels (``gatewise selfcheck`` says so).

    Notes
    -----
    No torch operator runs in a step, and the GIL is held: a step of 64 units takes a few microseconds. One stream must
    not be stepped by two threads at once; two streams may.

    Examples
    --------
    >>> import numpy as np, torch, gatewise as gw
    >>> layer = gw.nn.GRU(3, 5)
    >>> stream = gw.stream(layer)
    >>> x = np.ones((7, 1, 3), np.float32)
    >>> outputs = [stream.step(x_t) for x_t in x]
    >>> with torch.no_grad():
    ...     bool((np.stack(outputs) == layer(torch.from_numpy(x))[0].numpy()).all()) or layer.path != "native"
    True
    >>> stream.reset()
    >>> stream.state.hidden.shape
    (1, 1, 5)
    """
    return Stream(layer, batch_size)


def _check(layer: object, batch_size: int) -> None:
    if not isinstance(layer, RNNBase):
        raise TypeError(f"layer must be a torch.nn or gatewise RNN, LSTM or GRU, got {type(layer).__name__}")
    if layer.bidirectional:
        raise ValueError("layer must have one direction: the reverse one needs the end of a sequence before its start")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    dtype = weights_of(layer, 0).input.dtype
    for row in range(layer.num_layers):
        weights = given_weights(layer, row)
        for weight in weights:
            if weight.dtype not in (torch.float32, torch.float64) or weight.dtype != dtype or not weight.is_cpu:
                raise ValueError(f"layer must be float32 or float64 on the CPU, got {weight.dtype} on {weight.device}")
        if tuple(weight.shape for weight in weights) != form_of(layer).weight_shapes[row]:
            shapes = ", ".join(str(tuple(weight.shape)) for weight in weights)
            raise ValueError(f"layer must have weights of its own sizes, got {shapes} in layer {row}")
    if _native.cpu_level() == "none":
        raise RuntimeError("a stream needs the native kernels, which this processor or build does not have")


def _detached(weight: Tensor) -> Tensor:
    return weight.detach().contiguous()
