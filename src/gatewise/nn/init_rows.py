"""What is to be initialised: every layer and direction of every recurrent layer and cell inside a module.

Shapes: H hidden units.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import Module, Parameter, RNNBase

from gatewise import cells
from gatewise.cells import Cell, Weights
from gatewise.nn.one_step import RecurrentCell
from gatewise.nn.weights import equations_of, num_directions, weights_of

_CELL_CLASSES = (nn.RNNCell, nn.LSTMCell, nn.GRUCell, RecurrentCell)
_BY_NUM_BLOCKS: dict[int, Cell] = {cell.num_blocks: cell for cell in (cells.RNN(), cells.LSTM(), cells.GRU())}


@dataclass(frozen=True)
class Row:
    """The parameters of one layer and direction."""

    where: str  # how an error begins
    equations: Cell
    weights: Weights

    def set_bias(self, gate: str | None, values: Tensor | float) -> None:
        """Let b_ih + b_hh be `values`, (H,) or a number, in the rows of one gate."""
        size = self.weights.hidden_size
        first = self.equations.gate_names.index(str(gate)) * size
        for bias, wanted in ((self.weights.input_bias, values), (self.weights.recurrent_bias, 0.0)):
            if bias is not None:
                overwrite(bias[first : first + size], torch.as_tensor(wanted, dtype=torch.float64))


def overwrite(target: Tensor, values: Tensor) -> None:
    """Write into a parameter, or into a view of one, behind autograd's back."""
    with torch.no_grad():
        target.copy_(values)


def rows_of(module: Module, function: str) -> list[Row]:
    """Return every layer and direction inside `module`, for the function that errors shall name.

    Raises
    ------
    ValueError
        If there is none, or if the weights of one are computed, so that writing into them would be lost.
    """
    rows = [
        Row(f"{function}: {name or type(part).__name__}", equations, weights)
        for name, part in module.named_modules()
        for equations, weights in _parameters_of(part)
    ]
    if not rows:
        raise ValueError(f"{function}: {type(module).__name__} is no RNN, LSTM or GRU layer or cell and contains none")
    for row in rows:
        written = (row.weights.recurrent, row.weights.input_bias, row.weights.recurrent_bias)
        if not all(tensor is None or isinstance(tensor, Parameter) for tensor in written):
            raise ValueError(
                f"{row.where} has weights that are computed from others (parametrization, weight norm, pruning); "
                "initialise it before these are added"
            )
    return rows


def rows_with_memory_gate(module: Module, function: str) -> list[Row]:
    """Return the same; every row has a gate that keeps the old memory, and biases.

    Raises
    ------
    TypeError
        For an RNN.
    ValueError
        As `rows_of`, and for a layer without biases.
    """
    rows = rows_of(module, function)
    for row in rows:
        if row.equations.memory_gate is None:
            raise TypeError(f"{row.where} is an RNN and has no gate; pass the LSTM and GRU layers alone")
        if row.weights.input_bias is None:
            raise ValueError(f"{row.where} has bias=False and so no gate bias; make it with bias=True")
    return rows


def _parameters_of(module: Module) -> list[tuple[Cell, Weights]]:
    """Return equations and weights of each layer and direction of a module itself; [] if it is not recurrent."""
    if isinstance(module, RNNBase):
        num_rows = module.num_layers * num_directions(module)
        return [(equations_of(module), weights_of(module, row)) for row in range(num_rows)]
    if isinstance(module, _CELL_CLASSES):
        weights = Weights(module.weight_ih, module.weight_hh, module.bias_ih, module.bias_hh)
        return [(_BY_NUM_BLOCKS[len(weights.recurrent) // module.hidden_size], weights)]
    return []
