"""Reading a torch recurrent layer: its equations and the weights of each layer and direction.

Works on any torch.nn.RNNBase, ours and torch's alike, since both keep the same attributes and parameter names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor
from torch.nn import RNNBase

from gatewise import cells
from gatewise.cells import Cell, Weights

if TYPE_CHECKING:
    from functools import _lru_cache_wrapper

Result = TypeVar("Result")
_EQUATIONS: dict[str, Cell] = {
    "RNN_TANH": cells.RNN("tanh"),
    "RNN_RELU": cells.RNN("relu"),
    "LSTM": cells.LSTM(),
    "GRU": cells.GRU(),
}


def cached(function: _lru_cache_wrapper[Result]) -> Callable[..., Result]:
    """Return a function with a cache as it is, and without it to the compiler, which warns that it cannot keep one."""
    return function.__wrapped__ if torch.compiler.is_compiling() else function


def equations_of(layer: RNNBase) -> Cell:
    """Return the equations that `layer` computes."""
    return equations_of_mode(layer.mode)


def equations_of_mode(mode: str) -> Cell:
    """Return the equations of one of torch's modes: "RNN_TANH", "RNN_RELU", "LSTM" or "GRU"."""
    return _EQUATIONS[mode]


def num_directions(layer: RNNBase) -> int:
    """Return D: 2 for a bidirectional layer, else 1."""
    return 2 if layer.bidirectional else 1


def parameter_suffix(index: int, directions: int) -> str:
    """Return torch's parameter suffix of row `index` on the L*D axis: ``l0``, ``l0_reverse``, ``l1`` ..."""
    layer, is_reverse = divmod(index, directions)
    return f"l{layer}_reverse" if is_reverse else f"l{layer}"


def weights_of(layer: RNNBase, index: int) -> Weights:
    """Return the weights of row `index` on the L*D axis (layer, then direction, in the order of h_n)."""
    return by_meaning(given_weights(layer, index), layer.bias)


def by_meaning(row: list[Tensor], has_bias: bool) -> Weights:
    """Return the weights of one row, which come in torch's order, by their meaning."""
    w_ih, w_hh, *rest = row
    b_ih, b_hh = rest[:2] if has_bias else (None, None)
    return Weights(w_ih, w_hh, b_ih, b_hh, *rest[2 if has_bias else 0 :])


def given_weights(layer: RNNBase, index: int) -> list[Tensor]:
    """Return the weights of row `index` that there are, in torch's order: W_ih, W_hh, b_ih, b_hh, W_hr."""
    return named_weights(layer, names_of_row(index, num_directions(layer), layer.bias, layer.proj_size > 0))


def named_weights(layer: RNNBase, names: tuple[str, ...]) -> list[Tensor]:
    """Return the weights of these names."""
    # Module.__getattr__ takes a microsecond a name; a parametrized weight is no parameter and needs it.
    parameters = layer._parameters
    return [parameters.get(name) if name in parameters else getattr(layer, name) for name in names]  # type: ignore[misc]


def in_one_list(rows: list[list[Tensor]]) -> list[Tensor]:
    """Return the weights of some rows of the L*D axis one after the other, as torch keeps them."""
    return [weight for row in rows for weight in row]


def names_of_row(index: int, directions: int, has_bias: bool, has_projection: bool) -> tuple[str, ...]:
    """Return the names of the weights of row `index` on the L*D axis that there are, in torch's order."""
    suffix = parameter_suffix(index, directions)
    biases = ["bias_ih", "bias_hh"] if has_bias else []
    projection = ["weight_hr"] if has_projection else []
    kinds = ["weight_ih", "weight_hh", *biases, *projection]
    return tuple(f"{kind}_{suffix}" for kind in kinds)
