"""torch.nn's weights in the gate orders of other frameworks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gatewise.bench import LayerPair

Array = NDArray[np.float32]
TORCH_GATES = {"RNN": "h", "LSTM": "ifgo", "GRU": "rzn"}


class Weights(NamedTuple):
    """Blocks of H rows, one a gate, stacked."""

    w_ih: Array  # (G*H, I)
    w_hh: Array  # (G*H, H)
    b_ih: Array  # (G*H,)
    b_hh: Array  # (G*H,)


def in_order(pair: LayerPair, gates: str) -> Weights:
    """Return the weights with the blocks in the order of `gates`, named by torch's letters."""
    layer = pair.theirs
    tensors = (layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0)
    return Weights(*(reorder(t.detach().numpy(), TORCH_GATES[pair.cell], gates) for t in tensors))


def reorder(stacked: Array, of: str, to: str) -> Array:
    """Return the blocks of H rows in another order."""
    blocks = dict(zip(of, np.split(stacked, len(of)), strict=True))
    return np.concatenate([blocks[gate] for gate in to])
