"""Cells as modules, with random weights and arguments: what the tests of gw.nn.RNNCell, LSTMCell and GRUCell share.

Shapes: N sequences, I inputs, H hidden units, T steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Module, RNNCellBase

import gatewise as gw
from problems import KINDS, Problem, build_layer, random

States = tuple[Tensor, ...]  # (h,) or (h, c)


@dataclass(frozen=True)
class CellCase:
    """One cell and the size of its batch."""

    cell: str  # "RNN", "LSTM", "GRU"
    nonlinearity: str = "tanh"
    bias: bool = True
    num_sequences: int | None = 3  # N; None: unbatched
    input_size: int = 4
    hidden_size: int = 5

    @property
    def id(self) -> str:
        name = self.cell.lower() if self.nonlinearity == "tanh" else "relu-rnn"
        batch = "unbatched" if self.num_sequences is None else f"N{self.num_sequences}"
        return f"{name}-{batch}I{self.input_size}H{self.hidden_size}{'' if self.bias else '-nobias'}"

    @property
    def problem(self) -> Problem:
        """The layer with the same weights."""
        return Problem(
            self.cell,
            nonlinearity=self.nonlinearity,
            bias=self.bias,
            input_size=self.input_size,
            hidden_size=self.hidden_size,
            num_sequences=self.num_sequences or 1,
            is_batched=self.num_sequences is not None,
        )

    def build(self, module: object = gw.nn, dtype: torch.dtype = torch.float64, seed: int = 1) -> RNNCellBase:
        """Return the cell from `module`, gw.nn or torch.nn, with the weights of the problem's layer."""
        options = {"nonlinearity": self.nonlinearity} if self.cell == "RNN" else {}
        cell: RNNCellBase = getattr(module, f"{self.cell}Cell")(
            self.input_size, self.hidden_size, self.bias, **options, dtype=dtype
        )
        layer = build_layer(self.problem, dtype=dtype, seed=seed)
        cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
        return cell

    def arguments(self, num_steps: int = 4, dtype: torch.dtype = torch.float64) -> tuple[Tensor, States]:
        """Return x (T, N, I) and (h, c) (N, H); without N where the case is unbatched."""
        batch = () if self.num_sequences is None else (self.num_sequences,)
        size = (*batch, self.hidden_size)
        states = (0.7 * random(size, 3, dtype), random(size, 4, dtype))
        return random((num_steps, *batch, self.input_size), 2, dtype), states[: 2 if self.cell == "LSTM" else 1]


_OPTIONS: tuple[dict[str, object], ...] = (
    {},
    {"bias": False},
    {"num_sequences": None},
    {"num_sequences": 9, "input_size": 19, "hidden_size": 17},
    {"num_sequences": 1, "hidden_size": 33},
    {"num_sequences": 1, "input_size": 1, "hidden_size": 1},
)
ONE_OF_EACH = tuple(CellCase(**kind) for kind in KINDS)  # type: ignore[arg-type]
CASES = tuple(CellCase(**kind, **options) for kind in KINDS for options in _OPTIONS)  # type: ignore[arg-type]


def step(cell: Module, x: Tensor, states: States | None) -> States:
    """Call the cell and return its new states, one or two, as a tuple."""
    hx = states if states is None or len(states) == 2 else states[0]
    new = cell(x, hx)
    return new if isinstance(new, tuple) else (new,)


def walk(cell: Module, x: Tensor, states: States | None) -> tuple[Tensor, States]:
    """Return the hidden states (T, N, H) of all steps, and the last states."""
    hidden = []
    for x_t in x:
        states = step(cell, x_t, states)
        hidden.append(states[0])
    assert states is not None
    return torch.stack(hidden), states
