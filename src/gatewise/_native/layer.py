"""One direction of a layer on the fused kernels.

Shapes: T steps, N sequences, I inputs, H hidden units, P projection (P = H without one), D directions, G blocks (RNN 1,
LSTM 4, GRU 3). ``rows`` stands for (T, N) where the batch is padded and for (R,), the number of all steps, where it is
packed. All tensors are float32 or all float64, on the CPU, and their last axis is contiguous; what is written is
contiguous altogether. Nothing is checked here: callers have.
"""

from __future__ import annotations

import atexit
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

import gatewise._core as _core
from gatewise._native.scratch import workspace

CELLS = {"RNN_TANH": 0, "RNN_RELU": 1, "LSTM": 2, "GRU": 3}

Initial = tuple[Tensor | None, Tensor | None]  # h_0 (D, N, P), c_0 (D, N, H) for the LSTM; None: zeros


class StepShape(NamedTuple):
    """Which steps a batch has, and where they lie."""

    num_steps: int  # T
    num_sequences: int  # N
    lengths: Tensor | None = None  # (N,) int64, 0..T; None: every sequence has all T steps
    offsets: Tensor | None = None  # (T,) int64 for a packed batch: the row of each step's first sequence


# The total gradients dL/dh_t (rows, P) and dL/dc_t (rows, H), then their Euclidean norms (rows,) in float64, as memory
# of which `tensor_of` makes a tensor, perhaps with gaps between its rows: that takes 10 us between two kernels, and
# perhaps nobody reads it.
Totals = tuple[object, object, object, object]


class WeightGradients(NamedTuple):
    """Where the gradients of one direction's weights go; None where they are not wanted."""

    weight_ih: Tensor | None = None  # (G*H, I)
    weight_hh: Tensor | None = None  # (G*H, P)
    bias_ih: Tensor | None = None  # (G*H,)
    bias_hh: Tensor | None = None  # (G*H,)


class DirectionKernel:
    """The kernels for one direction of a layer and batch of one size.

    Parameters
    ----------
    mode : {"RNN_TANH", "RNN_RELU", "LSTM", "GRU"}
    direction : {0, 1}
        1 walks backwards in time. Which part of the states and of the output is read and written.
    dtype : torch.float32 or torch.float64
    num_steps, num_sequences, input_size, hidden_size, proj_size : int
        T, N, I, H, and P or 0.
    max_threads : int
    """

    def __init__(
        self,
        mode: str,
        direction: int,
        dtype: torch.dtype,
        num_steps: int,
        num_sequences: int,
        input_size: int,
        hidden_size: int,
        proj_size: int,
        max_threads: int,
    ) -> None:
        sizes = num_steps, num_sequences, input_size, hidden_size, proj_size
        self._core = _core.Layer(CELLS[mode], dtype == torch.float64, direction, *sizes, max_threads)
        self._dtype = dtype
        self._forward_work, self._backward_work = self._core.forward_work(), self._core.backward_work()

    @property
    def num_threads(self) -> int:
        """How many threads share out the sequences, or where that makes more, the units."""
        return max(self._core.parts, self._core.crew)

    def forward(
        self,
        shape: StepShape,
        x: Tensor,
        initial: Initial,
        weights: tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None],
        output: Tensor,
        final: tuple[Tensor, Tensor | None],
        kept: Tensor | None,
    ) -> None:
        """Run all steps.

        Parameters
        ----------
        shape : StepShape
        x : (rows, I)
            Never read past a sequence's end.
        initial : (h_0, c_0)
        weights : (weight_ih (G*H, I), weight_hh (G*H, P), bias_ih (G*H,), bias_hh (G*H,), weight_hr (P, H)), contiguous
            Biases and projection may be None.
        output : (rows, D*P)
            Written: h_t, zero past each sequence's end.
        final : (h_n, c_n)
            Written; shapes as `initial`.
        kept : (rows, (G+1)*H), optional
            Written, for `backward` of LSTM and GRU: the gates after the activation, then c_t, or the GRU's
            W_hn h_{t-1} + b_hn; zero past each sequence's end.
        """
        w_ih, w_hh, b_ih, b_hh, w_hr = weights
        work = workspace(self._forward_work, self._dtype)
        self._core.forward(
            shape.lengths, shape.offsets, x, *initial, w_ih, w_hh, b_ih, b_hh, w_hr, output, *final, kept, work
        )

    def backward(
        self,
        shape: StepShape,
        cotangents: tuple[Tensor | None, Tensor | None, Tensor | None],
        kept_cotangent: Tensor | None,
        x: Tensor,
        initial: Initial,
        weights: tuple[Tensor, Tensor, Tensor | None],
        output: Tensor,
        kept: Tensor | None,
        input_gradient: Tensor | None,
        initial_gradients: Initial,
        weight_gradients: WeightGradients,
        *,
        wants_hidden: bool = False,
        wants_cell: bool = False,
        wants_norms: bool = False,
    ) -> Totals:
        """Compute the gradients that are wanted.

        Parameters
        ----------
        shape : StepShape
        cotangents : (grad_output (rows, D*P), grad_h_n (D, N, P), grad_c_n (D, N, H))
            dL/dy_t, dL/dh_n, dL/dc_n; None is zero. The last axis of dL/dy_t may be expanded from one number.
        kept_cotangent : (rows, (G+1)*H), optional
            Gradients of the gates and of the LSTM's c_t as results of their own; contiguous. The GRU's last block is
            not read.
        x, initial, output, kept
            What `forward` took and wrote.
        weights : (weight_ih, weight_hh, weight_hr), contiguous
        input_gradient : (rows, I), optional
            Written by direction 0, zero past each sequence's end; direction 1 adds to it.
        initial_gradients : (grad_h_0 (D, N, P), grad_c_0 (D, N, H)), each optional
            Written.
        weight_gradients : WeightGradients
            Written.
        wants_hidden, wants_cell, wants_norms : bool
            Of the total gradients, those of h_t, those of c_t, and the norms of both.

        Returns
        -------
        Totals
            None for what is not wanted, and where there is no cell state; zero past each sequence's end.
        """
        w_ih, w_hh, w_hr = weights
        work = workspace(self._backward_work, self._dtype)
        return self._core.backward(
            shape.lengths,
            shape.offsets,
            *cotangents,
            kept_cotangent,
            x,
            *initial,
            w_ih,
            w_hh,
            w_hr,
            output,
            kept,
            input_gradient,
            *initial_gradients,
            *weight_gradients,
            wants_hidden,
            wants_cell,
            wants_norms,
            work,
        )


# `DirectionKernel` of the same arguments, kept from call to call: making one takes a fiftieth of a small layer's call.
direction_kernel = lru_cache(maxsize=256)(DirectionKernel)
atexit.register(direction_kernel.cache_clear)  # nanobind reports what is left of its objects at the end of the process
