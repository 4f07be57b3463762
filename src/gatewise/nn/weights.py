"""Reading a torch recurrent layer: its equations and the weights of each layer and direction.

Works on any torch.nn.RNNBase, ours and torch's alike, since both keep the same attributes and parameter names.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import RNNBase

from gatewise import cells
from gatewise.cells import Cell, Weights

_EQUATIONS: dict[str, Cell] = {
    "RNN_TANH": cells.RNN("tanh"),
    "RNN_RELU": cells.RNN("relu"),
    "LSTM": cells.LSTM(),
    "GRU": cells.GRU(),
}


def equations_of(layer: RNNBase) -> Cell:
    """Return the equations that `layer` computes."""
    return _EQUATIONS[layer.mode]


def num_directions(layer: RNNBase) -> int:
    """Return D: 2 for a bidirectional layer, else 1."""
    return 2 if layer.bidirectional else 1


def parameter_suffix(index: int, directions: int) -> str:
    """Return torch's parameter suffix of row `index` on the L*D axis: ``l0``, ``l0_reverse``, ``l1`` ..."""
    layer, is_reverse = divmod(index, directions)
    return f"l{layer}_reverse" if is_reverse else f"l{layer}"


def weights_of(layer: RNNBase, index: int) -> Weights:
    """Return the weights of row `index` on the L*D axis (layer, then direction, in the order of h_n)."""
    suffix = parameter_suffix(index, num_directions(layer))

    def parameter(name: str) -> Tensor:
        tensor: Tensor = getattr(layer, f"{name}_{suffix}")
        return tensor

    return Weights(
        input=parameter("weight_ih"),
        recurrent=parameter("weight_hh"),
        input_bias=parameter("bias_ih") if layer.bias else None,
        recurrent_bias=parameter("bias_hh") if layer.bias else None,
        projection=parameter("weight_hr") if layer.proj_size else None,
    )


def given_weights(layer: RNNBase, index: int) -> list[Tensor]:
    """Return the weights of row `index` that there are, in torch's order: W_ih, W_hh, b_ih, b_hh, W_hr."""
    weights = weights_of(layer, index)
    every = (weights.input, weights.recurrent, weights.input_bias, weights.recurrent_bias, weights.projection)
    return [weight for weight in every if weight is not None]
