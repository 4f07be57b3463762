"""How long the gates keep what they hold.

Shapes: L*D layers times directions, K lags, T steps, N sequences, H hidden units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gatewise.flow.given import require_trace
from gatewise.flow.steps import given_or_full, last_steps
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
    log_gate = _log_memory_gate(trace)
    valid = trace.valid().to(log_gate.device)
    decay = -log_gate[:, valid].mean(dim=1)
    # -0.0, from a gate that is exactly 1, must not turn the half-life negative.
    return torch.where(decay == 0, math.inf, math.log(2) / decay)


@dataclass(frozen=True)
class DirectPath:
    """What the gates alone leave of a unit's memory after k steps.

    Attributes
    ----------
    lags : Tensor of shape (K,), int64
        k, in steps: 0 to T-1.
    log_product : Tensor of shape (L*D, K, N, H)
        ``ln(f_T f_{T-1} ... f_{T-k+1})``, T each sequence's last processed step: the share of the memory of step T-k
        that is left at T. 0 at lag 0, -inf where a gate was 0, NaN where T-k lies before the sequence's first step.
    """

    lags: Tensor
    log_product: Tensor


def direct_path_by_lag(trace: Trace) -> DirectPath:
    """Return the product of the memory gate over the last k steps, for every lag k.

    f is the LSTM's forget gate (of c) or the GRU's update gate z (of h; torch's z keeps the OLD state). With W_hh = 0
    this is the whole gradient dc_T/dc_{T-k}; otherwise `gradient_by_lag` counts the other paths too.

    Parameters
    ----------
    trace : gatewise.nn.Trace
        Not modified.

    Returns
    -------
    DirectPath
        Per sequence and unit, not averaged.

    Raises
    ------
    ValueError
        For the RNN, which has no such gate.

    References
    ----------
    Gers, Schmidhuber & Cummins (2000), doi:10.1162/089976600300015015

    Examples
    --------
    >>> import torch, gatewise as gw
    >>> path = gw.flow.direct_path_by_lag(gw.nn.LSTM(2, 3).trace(torch.randn(10, 4, 2)))
    >>> path.log_product.shape
    torch.Size([1, 10, 4, 3])
    """
    log_gate = _log_memory_gate(trace).cpu()
    num_steps = log_gate.shape[1]
    lengths = given_or_full(trace.lengths, log_gate[0])
    lags = torch.arange(num_steps)
    products = []
    for index, row in enumerate(log_gate):
        is_reverse = index % trace.num_directions == 1
        ends = last_steps(lengths, is_reverse=is_reverse)
        positions = ends + lags.unsqueeze(1) if is_reverse else ends - lags.unsqueeze(1)
        backwards = row.take_along_dim(positions.clamp(0, num_steps - 1).unsqueeze(-1), dim=0)
        product = torch.cat([torch.zeros_like(backwards[:1]), backwards[:-1].cumsum(dim=0)])
        products.append(product.where((lags.unsqueeze(1) < lengths).unsqueeze(-1), math.nan))
    return DirectPath(lags, torch.stack(products))


def _log_memory_gate(trace: Trace) -> Tensor:
    """Return the log (L*D, T, N, H) of the gate that multiplies the old memory."""
    require_trace(trace)
    name = trace.equations.memory_gate
    if name is None:
        raise ValueError(f"the {trace.equations.name} has no gate that keeps its memory")
    return trace.gates[name].detach().double().log()
