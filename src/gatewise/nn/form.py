"""What follows from a layer's arguments alone, looked up once a call.

Sizes: H hidden units, P projection (P = H without one), L layers, D directions, G blocks of weights.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from torch.nn import RNNBase

from gatewise.cells import Cell
from gatewise.nn.weights import cached, equations_of_mode, names_of_row, num_directions


class Kind(NamedTuple):
    """What every layer of a stack is, whatever it is called with."""

    mode: str
    equations: Cell
    num_directions: int  # D
    has_bias: bool
    hidden_size: int  # H
    proj_size: int  # 0 for none
    state_size: int  # P
    cell_size: int | None  # H; None where there is no cell state
    kept_size: int  # columns of what the kernels keep for backward beside h_t: (G+1)*H, for the RNN nothing
    weights_per_direction: int


class Form(NamedTuple):
    """What a stack of layers is."""

    kind: Kind
    num_rows: int  # L*D
    weight_names: tuple[tuple[str, ...], ...]  # by row, of the weights that there are, in torch's order
    weight_shapes: tuple[tuple[tuple[int, ...], ...], ...]  # theirs


@cache
def kind_of(mode: str, num_directions: int, has_bias: bool, hidden_size: int, proj_size: int) -> Kind:
    """Return the kind of a layer of these sizes."""
    equations, proj_size = equations_of_mode(mode), int(proj_size)  # torch takes numpy's integers, which are no int
    return Kind(
        mode,
        equations,
        num_directions,
        has_bias,
        hidden_size,
        proj_size,
        state_size=proj_size or hidden_size,
        cell_size=hidden_size if equations.has_cell_state else None,
        kept_size=(equations.num_blocks + 1) * hidden_size if equations.gate_names else 0,
        weights_per_direction=(4 if has_bias else 2) + (proj_size > 0),
    )


def form_of(layer: RNNBase) -> Form:
    """Return the form of `layer`."""
    sizes = layer.input_size, layer.hidden_size, layer.proj_size
    return cached(_form)(layer.mode, *sizes, layer.num_layers, num_directions(layer), layer.bias)


@cache
def _form(
    mode: str, input_size: int, hidden_size: int, proj_size: int, num_layers: int, directions: int, has_bias: bool
) -> Form:
    kind = cached(kind_of)(mode, directions, has_bias, hidden_size, proj_size)
    stacked = kind.equations.num_blocks * hidden_size
    biases = [(stacked,), (stacked,)] if has_bias else []
    projection = [(proj_size, hidden_size)] if proj_size else []
    input_sizes = [input_size] * directions + [directions * kind.state_size] * (directions * (num_layers - 1))
    return Form(
        kind,
        len(input_sizes),
        tuple(names_of_row(row, directions, has_bias, proj_size > 0) for row in range(len(input_sizes))),
        tuple(((stacked, size), (stacked, kind.state_size), *biases, *projection) for size in input_sizes),
    )
