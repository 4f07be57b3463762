"""The Jacobian of every step of a recorded call, in closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gatewise.flow.given import require_trace, whole_numbers
from gatewise.flow.trajectory import derivatives_of
from gatewise.nn import Trace

# Written in blocks of this many entries (8 MB), which stay in the cache while the gates' terms are added up.
BLOCK_ENTRIES = 2**20


@torch.no_grad()
def step_jacobians(
    trace: Trace, steps: Sequence[int] | None = None, sequences: Sequence[int] | None = None, out: Tensor | None = None
) -> Tensor:
    """Return J_t = ds_t / ds_{t-1} for every step, s = h for RNN and GRU and s = [h; c] for the LSTM.

    Each is the derivative of one step alone, within one layer: what the layer's input owes to earlier states through
    other layers is not in it. In the reverse direction the previous step is t+1.

    Parameters
    ----------
    trace : gatewise.nn.Trace
        Of T steps, N sequences, L*D layers and directions. Not modified.
    steps, sequences : sequence of int, optional
        Positions on the T and N axes, in the order in which they are wanted; all if left out.
    out : Tensor of shape (L*D, T, N, S, S), float64, contiguous, optional
        Where to write, with T and N as chosen. A second call into the same memory is several times as fast as one that
        has to get its memory from the system.

    Returns
    -------
    Tensor of shape (L*D, T, N, S, S), float64
        Rows are components of s_t, columns of s_{t-1}; NaN past a sequence's end. S = H, for the LSTM 2H, with a
        projection P + H. It is `out` where that was given.

    Raises
    ------
    IndexError
        If there is no such step or sequence.
    ValueError
        If `out` does not fit.
    RuntimeError
        If a parameter was changed after the trace was made.

    Notes
    -----
    The states and gates are the trace's own: those of a float32 layer are exact to 1e-7, trace ``layer.double()`` for
    more. Costs about G*S*P multiplications a step and 8*S*S bytes: for an LSTM of 128 units over 100 steps and 32
    sequences 1.7 GB; choose `steps` and `sequences`, or use `lag_product` and `lyapunov_spectrum`, which hold a few
    steps at a time. Formulas: gatewise.cells.

    Examples
    --------
    >>> import torch, gatewise as gw
    >>> layer = gw.nn.LSTM(3, 5, bidirectional=True)
    >>> trace = layer.trace(torch.randn(7, 2, 3))
    >>> gw.flow.step_jacobians(trace).shape
    torch.Size([2, 7, 2, 10, 10])
    >>> gw.flow.step_jacobians(trace, steps=[6], sequences=[0]).shape
    torch.Size([2, 1, 1, 10, 10])
    """
    require_trace(trace)
    num_rows, num_steps, num_sequences = trace.hidden.shape[:3]
    chosen_steps = _positions("steps", steps, num_steps)
    chosen_sequences = _positions("sequences", sequences, num_sequences)
    state_size = trace.hidden.shape[-1] + (0 if trace.cell is None else trace.cell.shape[-1])
    shape = (num_rows, len(chosen_steps), len(chosen_sequences), state_size, state_size)
    jacobians = _checked(out, shape, trace.hidden.device)
    chosen = (chosen_steps.unsqueeze(1), chosen_sequences)
    block = max(1, BLOCK_ENTRIES // max(1, jacobians[0, :1].numel()))
    for row in range(num_rows):
        derivatives = derivatives_of(trace, row)[chosen]
        for start in range(0, len(chosen_steps), block):
            derivatives[start : start + block].write(jacobians[row, start : start + block])
    if trace.lengths is not None:
        jacobians[:, ~trace.valid()[chosen].to(jacobians.device)] = math.nan
    return jacobians


def _positions(name: str, chosen: Sequence[int] | None, size: int) -> Tensor:
    """Return positions on an axis of `size` as (M,) int64."""
    if chosen is None:
        return torch.arange(size)
    positions = whole_numbers(name, chosen)
    outside = [position for position in positions if not 0 <= position < size]
    if outside:
        raise IndexError(f"{name} must be positions from 0 to {size - 1}, got {outside[0]}")
    return torch.tensor(positions, dtype=torch.int64)


def _checked(out: Tensor | None, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Return where to write."""
    if out is None:
        return torch.empty(shape, dtype=torch.float64, device=device)
    if out.shape != shape or out.dtype != torch.float64 or out.device != device or not out.is_contiguous():
        layout = "contiguous" if out.is_contiguous() else "not contiguous"
        raise ValueError(
            f"out must be a contiguous float64 tensor of shape {shape} on {device}, "
            f"got {out.dtype} of shape {tuple(out.shape)} on {out.device}, {layout}"
        )
    if out.requires_grad:
        raise ValueError("out must not require grad: Jacobians are written into it apart from any graph")
    return out
