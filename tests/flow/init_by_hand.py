"""The initialisations that the advice names, written out by hand from their papers."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor
from torch.nn import RNNBase

MEMORY_BLOCK = 1  # of the stacked gates: the LSTM's forget gate and the GRU's update gate alike


def _biases(layer: RNNBase) -> list[tuple[Tensor, Tensor]]:
    """Return (b_ih, b_hh) of every layer and direction."""
    names = [name for name, _ in layer.named_parameters() if name.startswith("bias_ih")]
    return [(getattr(layer, name), getattr(layer, name.replace("_ih", "_hh"))) for name in names]


def _recurrent(layer: RNNBase) -> list[Tensor]:
    return [parameter for name, parameter in layer.named_parameters() if name.startswith("weight_hh")]


def forget_bias_(layer: RNNBase, value: float) -> None:
    rows = slice(MEMORY_BLOCK * layer.hidden_size, (MEMORY_BLOCK + 1) * layer.hidden_size)
    with torch.no_grad():
        for b_ih, b_hh in _biases(layer):
            b_ih[rows], b_hh[rows] = value, 0


def chrono_(layer: RNNBase, t_max: int) -> None:
    size = layer.hidden_size
    with torch.no_grad():
        for b_ih, b_hh in _biases(layer):
            log_u = (1 + (t_max - 2) * torch.rand(size)).log()
            b_ih[size : 2 * size], b_hh[size : 2 * size] = log_u, 0
            if layer.mode == "LSTM":
                b_ih[:size], b_hh[:size] = -log_u, 0


def orthogonal_(layer: RNNBase) -> None:
    with torch.no_grad():
        for weight in _recurrent(layer):
            for block in weight.split(layer.hidden_size):
                torch.nn.init.orthogonal_(block)


def identity_(layer: RNNBase) -> None:
    with torch.no_grad():
        for weight in _recurrent(layer):
            torch.nn.init.eye_(weight)
        for b_ih, b_hh in _biases(layer):
            b_ih.zero_()
            b_hh.zero_()


gw_with_init = SimpleNamespace(
    nn=SimpleNamespace(
        init=SimpleNamespace(forget_bias_=forget_bias_, chrono_=chrono_, orthogonal_=orthogonal_, identity_=identity_)
    )
)
