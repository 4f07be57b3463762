"""What a recurrent cell is: its states and gates, one step of its equations, and the Jacobian of that step.

Shapes: N sequences, I inputs, H hidden units, P projection (P = H without one), G gates, S the size of the state
vector; ``...`` stands for any leading dimensions, so one formula serves a single step and a whole recorded trace.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from gatewise.cells.derivative import StepDerivative
from gatewise.cells.weights import Weights


@dataclass(frozen=True)
class State:
    """What one step hands to the next."""

    hidden: Tensor  # h (..., P)
    cell: Tensor | None = None  # c (..., H), LSTM only

    def require_cell(self) -> Tensor:
        """Return c, which this state must have."""
        if self.cell is None:
            raise ValueError("this cell's state is [h; c]; the state given has no cell state c")
        return self.cell

    def map(self, function: Callable[[Tensor], Tensor]) -> State:
        """Return the state with `function` applied to each part that is there."""
        return State(function(self.hidden), None if self.cell is None else function(self.cell))


Gates = dict[str, Tensor]  # name -> (..., H), after the activation


class Cell(ABC):
    """The equations of one kind of recurrent layer.

    Attributes
    ----------
    name : str
        "RNN", "LSTM" or "GRU".
    gate_names : tuple of str
        Names of the H-row blocks of the weight matrices, in torch's order; () for the RNN, whose one block is no gate.
    has_cell_state : bool
        Whether the state is [h; c] instead of h alone.
    memory_gate : str or None
        The gate whose value multiplies the old memory on its direct path: what it keeps per step.
    """

    name: ClassVar[str]
    gate_names: ClassVar[tuple[str, ...]]
    has_cell_state: ClassVar[bool]
    memory_gate: ClassVar[str | None]

    @property
    def num_blocks(self) -> int:
        """How many H-row blocks the weight matrices stack: one a gate, one for the RNN."""
        return max(1, len(self.gate_names))

    def project_input(self, inputs: Tensor, weights: Weights) -> Tensor:
        """Return ``W_ih x_t + b_ih`` for any number of steps at once.

        Parameters
        ----------
        inputs : Tensor
            x (..., I).
        weights : Weights

        Returns
        -------
        Tensor
            (..., G*H): the part of the preactivation that does not wait for the previous step.
        """
        return F.linear(inputs, weights.input, weights.input_bias)

    @abstractmethod
    def step(self, projected: Tensor, previous: State, weights: Weights) -> tuple[State, Gates]:
        """Advance by one step.

        Parameters
        ----------
        projected : Tensor
            What `project_input` returned for this step (..., G*H).
        previous : State
            h_{t-1} (and c_{t-1}).
        weights : Weights

        Returns
        -------
        State
            h_t (and c_t).
        Gates
            The gates by name, each (..., H), after the activation; {} for the RNN.
        """

    @abstractmethod
    def step_derivative(self, previous: State, state: State, gates: Gates, weights: Weights) -> StepDerivative:
        """Return J_t = ds_t / ds_{t-1} as the diagonals around W_hh; arguments as in `step_jacobian`."""

    def step_jacobian(self, previous: State, state: State, gates: Gates, weights: Weights) -> Tensor:
        """Return J_t = ds_t / ds_{t-1} in closed form, from what the step itself computed.

        Parameters
        ----------
        previous, state : State
            s_{t-1} and s_t.
        gates : Gates
            The gates of the step from one to the other.
        weights : Weights

        Returns
        -------
        Tensor
            (..., S, S); rows are components of s_t, columns of s_{t-1}. S = H for RNN and GRU; for the LSTM s = [h; c]
            and S = 2H, with a projection P + H.
        """
        return self.step_derivative(previous, state, gates, weights).matrix()

    def old_and_new(self, previous: State, gates: Gates) -> tuple[Tensor, Tensor]:
        """Return the two parts (..., H) of the memory after a step: what is kept of the old one, and what is written.

        Raises
        ------
        ValueError
            For the RNN, which writes its state anew at every step.
        """
        raise ValueError(f"the {self.name} has no gate that keeps its memory: it writes its state anew at every step")
