"""What the gates do: how open they stand, and how much of the memory is old and how much is new.

Shapes: L*D layers times directions, T steps, N sequences, H hidden units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gatewise.cells import State
from gatewise.flow.given import require_trace
from gatewise.nn import Trace

# Karpathy, Johnson & Fei-Fei call a gate left-saturated below the one and right-saturated above the other.
LOW, HIGH = 0.1, 0.9


@dataclass(frozen=True)
class GateStatistics:
    """How one gate stands, per unit, over all valid steps and sequences.

    Attributes
    ----------
    mean : Tensor of shape (L*D, H)
    low : Tensor of shape (L*D, H)
        Share of steps at which the gate is below 0.1.
    high : Tensor of shape (L*D, H)
        Share of steps at which it is above 0.9.
    """

    mean: Tensor
    low: Tensor
    high: Tensor


def gate_statistics(trace: Trace) -> dict[str, GateStatistics]:
    """Return mean and saturation of every gate, per unit.

    Parameters
    ----------
    trace : gatewise.nn.Trace
        Not modified.

    Returns
    -------
    dict of GateStatistics by gate name, in torch's order; {} for the RNN
        float64; NaN where no step is valid or a gate is no number. The candidates cell_gate and new_gate lie in
        [-1, 1]: read their `low` as the share below 0.1, negative values included.

    References
    ----------
    Karpathy, Johnson & Fei-Fei (2015), arXiv:1506.02078, section 4.2

    Examples
    --------
    >>> import torch, gatewise as gw
    >>> statistics = gw.flow.gate_statistics(gw.nn.GRU(2, 3).trace(torch.randn(10, 4, 2)))
    >>> list(statistics), statistics["update_gate"].mean.shape
    (['reset_gate', 'update_gate', 'new_gate'], torch.Size([1, 3]))
    """
    require_trace(trace)
    valid = trace.valid()
    statistics = {}
    for name, gate in trace.gates.items():
        values = gate.detach().double().cpu()[:, valid]
        statistics[name] = GateStatistics(
            values.mean(dim=1), _share(values < LOW, values), _share(values > HIGH, values)
        )
    return statistics


def _share(is_there: Tensor, values: Tensor) -> Tensor:
    """Return the share (L*D, H) of the values (L*D, S, H) that are there; NaN where one of them is no number."""
    return is_there.double().masked_fill(values.isnan(), math.nan).mean(dim=1)


@dataclass(frozen=True)
class MemoryBalance:
    """The memory after every step, in its two parts: LSTM c_t = f*c_{t-1} + i*g, GRU h_t = z*h_{t-1} + (1-z)*n.

    Attributes
    ----------
    old : Tensor of shape (L*D, T, N, H)
        What the step kept: f*c_{t-1} or z*h_{t-1}; 0 past each sequence's end.
    new : Tensor of shape (L*D, T, N, H)
        What it wrote: i*g or (1-z)*n; 0 past each sequence's end.
    """

    old: Tensor
    new: Tensor

    @property
    def old_share(self) -> Tensor:
        """|old| / (|old| + |new|), (L*D, T, N, H), from 0 (all new) to 1 (all old).

        NaN past each sequence's end and where both parts are zero: take means with ``nanmean``.
        """
        old, new = self.old.abs(), self.new.abs()
        return torch.where(old + new > 0, old / (old + new), math.nan)


def memory_balance(trace: Trace) -> MemoryBalance:
    """Return how much of the memory is old and how much is new, step by step.

    Parameters
    ----------
    trace : gatewise.nn.Trace
        Not modified.

    Returns
    -------
    MemoryBalance
        Per step, sequence and unit, float64; ``old + new`` is c_t of the LSTM, h_t of the GRU.

    Raises
    ------
    ValueError
        For the RNN, which writes its state anew at every step.

    Examples
    --------
    >>> import torch, gatewise as gw
    >>> trace = gw.nn.LSTM(2, 3).trace(torch.randn(10, 4, 2))
    >>> balance = gw.flow.memory_balance(trace)
    >>> torch.allclose(balance.old + balance.new, trace.cell.double())
    True
    """
    require_trace(trace)
    old, new = trace.equations.old_and_new(_previous_states(trace), _in_float64(trace.gates))
    past_end = ~trace.valid().unsqueeze(-1).to(old.device)
    return MemoryBalance(old.masked_fill(past_end, 0), new.masked_fill(past_end, 0))


def _in_float64(gates: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: gate.detach().double() for name, gate in gates.items()}


def _previous_states(trace: Trace) -> State:
    """Return s_{t-1} of every step (L*D, T, N, *): for the reverse direction the state at t+1, at the start s_0."""

    def before(states: Tensor, initial: Tensor) -> Tensor:
        states, initial = states.detach().double(), initial.detach().double()
        previous = torch.cat([initial.unsqueeze(1), states[:, :-1]], dim=1)
        if trace.num_directions == 2:
            previous[1::2] = torch.cat([states[1::2, 1:], initial[1::2].unsqueeze(1)], dim=1)
            for n, length in enumerate([] if trace.lengths is None else trace.lengths.tolist()):
                previous[1::2, length - 1, n] = initial[1::2, n]
        return previous

    hidden = before(trace.hidden, trace.h_0)
    return State(hidden, None if trace.cell is None or trace.c_0 is None else before(trace.cell, trace.c_0))
