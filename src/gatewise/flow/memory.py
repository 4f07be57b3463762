"""How long the gates keep what they hold."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gatewise.nn import Trace


def memory_half_life(trace: Trace) -> Tensor:
    """Return after how many steps half of a unit's memory has leaked through its memory gate.

    ``ln 2 / (-mean over valid t, n of ln f)``, f the LSTM's forget gate or the GRU's update gate z (torch's z keeps the
    OLD state). Only the direct path through the gate counts; what the unit writes back through its weights does not.

    Parameters
    ----------
    trace : gatewise.nn.Trace
        Not modified.

    Returns
    -------
    Tensor of shape (L*D, H), float64
        Steps per unit; inf where the gate is always 1, 0 where it ever is 0, NaN where no step is valid.

    Raises
    ------
    ValueError
        For the RNN, which has no such gate.

    References
    ----------
    Gers, Schmidhuber & Cummins (2000), doi:10.1162/089976600300015015; Tallec & Ollivier (2018), arXiv:1804.11188, for
    gates as time constants.

    Examples
    --------
    A forget gate held at sigma(1) = .7311 halves the memory every 2.21 steps.

    >>> import torch, gatewise as gw
    >>> layer = gw.nn.LSTM(2, 3)
    >>> for parameter in layer.parameters():
    ...     _ = torch.nn.init.zeros_(parameter)
    >>> _ = torch.nn.init.ones_(layer.bias_ih_l0)
    >>> gw.flow.memory_half_life(layer.trace(torch.randn(10, 4, 2))).round(decimals=2)
    tensor([[2.2100, 2.2100, 2.2100]], dtype=torch.float64)
    """
    gate_name = trace.equations.memory_gate
    if gate_name is None:
        raise ValueError(f"the {trace.equations.name} has no gate that keeps its memory, so it has no half-life")
    log_gate = trace.gates[gate_name].detach().double().log()
    valid = trace.valid().to(log_gate.device)
    decay = -log_gate[:, valid].mean(dim=1)
    # -0.0, from a gate that is exactly 1, must not turn the half-life negative.
    return torch.where(decay == 0, math.inf, math.log(2) / decay)
