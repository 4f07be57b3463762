"""Layers that advance step by step on the fused kernels, their weights packed once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

import gatewise._core as _core
from gatewise._native.layer import CELLS

Array = np.ndarray[Any, Any]
LayerWeights = tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None]  # W_ih, W_hh, b_ih, b_hh, W_hr


def make_stream(mode: str, num_sequences: int, layers: list[LayerWeights]) -> _core.Stream32 | _core.Stream64:
    """Return the compiled stream of layers, whose weights it copies; they are contiguous floating-point CPU tensors.

    Parameters
    ----------
    mode : {"RNN_TANH", "RNN_RELU", "LSTM", "GRU"}
    num_sequences : int
        N, at least 1.
    layers : list of (weight_ih (G*H, I), weight_hh (G*H, P), bias_ih (G*H,), bias_hh (G*H,), weight_hr (P, H))
        Biases and projection may be None.
    """
    kind = _core.Stream64 if layers[0][0].dtype == torch.float64 else _core.Stream32
    return kind(CELLS[mode], num_sequences, layers)
