"""How the gradient of a step's state shrinks or grows on its way back in time, to earlier states and to earlier inputs.

Shapes: L*D layers times directions, K lags, T steps, N sequences, S the size of the state vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module, RNNBase

from gatewise.flow.adjoint import loss_adjoint, norm, send_back, send_back_to_inputs, state_size
from gatewise.flow.float64 import run_in_float64
from gatewise.flow.given import whole_number, whole_numbers
from gatewise.flow.lag_curve import HORIZON_FACTOR, GradientByLag, check_horizon_factor, norms_at_lags, summarise
from gatewise.flow.loss import scalar_loss
from gatewise.flow.steps import last_steps, lengths_of
from gatewise.nn.composite import DirectionRun, Run
from gatewise.nn.weights import num_directions, weights_of

NUM_PROBES, PROBE_SEED = 8, 0


def gradient_by_lag(
    model: Module,
    inputs: Any,
    loss_fn: Callable[[Any], Tensor] | None = None,
    step: int | Sequence[int] = -1,
    lags: Sequence[int] | None = None,
    horizon_factor: float = HORIZON_FACTOR,
) -> GradientByLag | dict[str, GradientByLag]:
    """Measure how far back the state still matters: v^T ds_T / ds_{T-k} over all paths inside the model.

    s is h for RNN and GRU, [h; c] for the LSTM; T is each sequence's last valid step (for the reverse direction its
    first).

    Parameters
    ----------
    model : torch.nn.Module
        Contains RNN, LSTM or GRU layers of torch.nn or gatewise. Measured on a float64 copy: parameters, their .grad
        and the random state stay as they are.
    inputs : Tensor, tuple or dict
        What the model is called with.
    loss_fn : callable, optional
        Maps the model's output to a scalar; v is then its gradient dL/ds_T. A mean over the batch scales every norm by
        1/N and changes neither slope nor horizon. Without it v is Gaussian: root mean square over 8 fixed vectors.
    step : int or sequence of int, default -1
        Position T to start from; -1 for the last valid step of each sequence. Shorter sequences are left out. Several
        positions are measured one by one and averaged like sequences: the mean of the logs.
    lags : sequence of int, optional
        k, not negative; every lag that fits if left out. The result holds them in rising order, lag 0 always first.
    horizon_factor : float, default 100
        The horizon is the largest lag at which the norm is still at least the norm at lag 0 over this factor.

    Returns
    -------
    GradientByLag, or dict by qualified name where the model holds several recurrent layers

    Raises
    ------
    ValueError
        If there is no recurrent layer, one is called more than once other than step by step through one sequence, or
        step or lags do not fit.

    Notes
    -----
    Costs one forward pass on the composite path and, per layer, direction and chosen step, one backward pass (8 without
    a loss). Norms below 1e-308, the end of float64, count as zero. A layer that a model calls step by step, as decoders
    do, is measured over all its steps.

    References
    ----------
    Bengio, Simard & Frasconi (1994), doi:10.1109/72.279181; Pascanu, Mikolov & Bengio (2013), arXiv:1211.5063

    Examples
    --------
    >>> import torch, gatewise as gw
    >>> model, x = torch.nn.GRU(3, 8, batch_first=True), torch.randn(4, 30, 3)
    >>> measured = gw.flow.gradient_by_lag(model, x, lambda output: output[0][:, -1].square().mean())
    >>> measured.log_norm.shape, bool(measured.slope < 0)
    (torch.Size([1, 30]), True)
    """
    return _by_lag(model, inputs, loss_fn, step, lags, horizon_factor, is_to_inputs=False)


def input_sensitivity_by_lag(
    model: Module,
    inputs: Any,
    loss_fn: Callable[[Any], Tensor] | None = None,
    step: int | Sequence[int] = -1,
    lags: Sequence[int] | None = None,
    horizon_factor: float = HORIZON_FACTOR,
) -> GradientByLag | dict[str, GradientByLag]:
    """Measure how far back the layer's input still matters: v^T ds_T / dx_{T-k} over all paths inside the model.

    x_t is what the layer itself gets at step t, after any embedding or earlier layer. The state may carry a gradient
    far back along directions that no input ever writes to; this is what is left of it where data come in. Parameters,
    errors, averages and cost as in `gradient_by_lag`; the norms of the result are those of v^T ds_T / dx_{T-k}.

    Examples
    --------
    >>> import torch, gatewise as gw
    >>> layer = torch.nn.LSTM(3, 8)
    >>> gw.flow.input_sensitivity_by_lag(layer, torch.randn(30, 4, 3), lags=[0, 1, 5]).log_norm.shape
    torch.Size([1, 3])
    """
    return _by_lag(model, inputs, loss_fn, step, lags, horizon_factor, is_to_inputs=True)


def _by_lag(
    model: Module,
    inputs: Any,
    loss_fn: Callable[[Any], Tensor] | None,
    step: int | Sequence[int],
    lags: Sequence[int] | None,
    horizon_factor: float,
    *,
    is_to_inputs: bool,
) -> GradientByLag | dict[str, GradientByLag]:
    check_horizon_factor(horizon_factor)
    steps = whole_numbers("step", step) if np.ndim(step) else [whole_number("step", step)]
    if not steps:
        raise ValueError("step must name at least one position, got none")
    chosen_lags = None if lags is None else whole_numbers("lags", lags)
    with run_in_float64(model, inputs) as double:
        loss = None if loss_fn is None else scalar_loss(loss_fn, double.output)
        results = {}
        for name, (layer, run) in double.layers.items():
            if not run.final.hidden.requires_grad:
                raise ValueError(f"layer {name!r} runs under torch.no_grad inside the model, so no gradient reaches it")
            received = [call.call.inputs for call in double.calls[name]] if is_to_inputs else None
            results[name] = _measure(layer, run, loss, steps, chosen_lags, horizon_factor, received)
    return next(iter(results.values())) if len(results) == 1 else results


def _measure(
    layer: RNNBase,
    run: Run,
    loss: Tensor | None,
    steps: list[int],
    lags: list[int] | None,
    horizon_factor: float,
    received: Sequence[Tensor] | None,
) -> GradientByLag:
    """Measure one layer's run."""
    num_steps, lengths = len(run.call.inputs), lengths_of(run)
    checked_lags = _check_lags(lags, num_steps)
    rows = []
    for index, row in enumerate(run.directions):
        is_reverse = index % num_directions(layer) == 1
        projection = weights_of(layer, index).projection
        parts = []
        for step in steps:
            ends = _end_steps(lengths, step, num_steps, is_reverse)
            norms = norms_by_step(row, projection, loss, ends, received)
            parts.append(norms_at_lags(norms, ends, lengths, checked_lags, is_reverse=is_reverse))
        rows.append([torch.cat(of_steps, dim=-1) for of_steps in zip(*parts, strict=True)])
    norms, is_inside = (torch.stack(of_rows) for of_rows in zip(*rows, strict=True))
    return summarise(checked_lags, norms, is_inside, horizon_factor)


def _check_lags(lags: list[int] | None, num_steps: int) -> Tensor:
    """Return the lags (K,); lag 0 always comes first, since the horizon is measured against it."""
    if lags is None:
        return torch.arange(num_steps)
    outside = [lag for lag in lags if not 0 <= lag < num_steps]
    if outside:
        raise ValueError(
            f"lags must be between 0 and {num_steps - 1} for sequences of {num_steps} steps, got {outside[0]}"
        )
    return torch.tensor(sorted({0, *lags}))


def _end_steps(lengths: Tensor, step: int, num_steps: int, is_reverse: bool) -> Tensor:
    """Return the position T of each sequence (N,); -1 for those that do not reach it."""
    if not -1 <= step < num_steps:
        raise ValueError(f"step must be -1 or a position from 0 to {num_steps - 1}, got {step}")
    ends = last_steps(lengths, is_reverse=is_reverse) if step == -1 else torch.full_like(lengths, step)
    return torch.where(ends < lengths, ends, -1)


def norms_by_step(
    row: DirectionRun,
    projection: Tensor | None,
    loss: Tensor | None,
    ends: Tensor,
    received: Sequence[Tensor] | None = None,
) -> Tensor:
    """Return the norm (T, N) of v^T ds_T / ds_t, or of v^T ds_T / dx_t where the x that the layer `received` are given.

    T is each sequence's step `ends` (N,), -1 for none; x comes in the parts of the layer's calls, each (steps, N, I).
    """
    if not (ends >= 0).any():
        return row.hidden.new_zeros(row.hidden.shape[:2])

    def norm_sent_back(v: Tensor) -> Tensor:
        return norm(
            send_back(v, row, projection, ends) if received is None else send_back_to_inputs(v, row, received, ends)
        )

    if loss is not None:
        return norm_sent_back(loss_adjoint(loss, row, projection, ends))
    generator = torch.Generator().manual_seed(PROBE_SEED)
    total = row.hidden.new_zeros(row.hidden.shape[:2])
    for _ in range(NUM_PROBES):
        v = torch.randn(len(ends), state_size(row), generator=generator, dtype=torch.float64).to(row.hidden.device)
        total = torch.hypot(total, norm_sent_back(v))
    root_mean_square: Tensor = total / NUM_PROBES**0.5
    return root_mean_square
