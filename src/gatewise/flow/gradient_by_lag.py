"""How the gradient of the last step's state shrinks or grows on its way back in time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, RNNBase

from gatewise.flow.adjoint import loss_adjoint, send_back, state_size
from gatewise.flow.float64 import run_in_float64
from gatewise.flow.regression import Line, fit_line
from gatewise.nn.composite import DirectionRun, Run
from gatewise.nn.weights import num_directions, weights_of

# The horizon is where the gradient has shrunk by this factor.
HORIZON_FACTOR = 100.0
NUM_PROBES, PROBE_SEED = 8, 0


@dataclass(frozen=True)
class GradientByLag:
    """Norms of v^T ds_T / ds_{T-k}, per layer and direction (L*D) and lag (K).

    Attributes
    ----------
    lags : Tensor of shape (K,), int64
        k, in steps.
    log_norm : Tensor of shape (L*D, K)
        Natural log of the Euclidean norm, mean over the sequences whose norm is not zero; NaN where there is none.
    num_zero : Tensor of shape (L*D, K), int64
        Sequences left out of the mean because their norm is exactly zero.
    slope : Tensor of shape (L*D,)
        Least squares of log_norm over the finite lags: log factor per step; negative where the gradient vanishes.
    horizon : Tensor of shape (L*D,)
        Largest lag with log_norm(k) >= log_norm(0) - ln 100; NaN where no gradient arrived at lag 0.
    horizon_is_censored : Tensor of shape (L*D,), bool
        Whether that is the last lag looked at, so that the true horizon may be larger.
    """

    lags: Tensor
    log_norm: Tensor
    num_zero: Tensor
    slope: Tensor
    horizon: Tensor
    horizon_is_censored: Tensor
    _lines: tuple[Line, ...]

    def slope_interval(self, confidence: float = 0.95) -> Tensor:
        """Return the interval of `slope`, (L*D, 2); needs SciPy."""
        return torch.tensor([line.slope_interval(confidence) for line in self._lines], dtype=torch.float64)


def gradient_by_lag(
    model: Module,
    inputs: Any,
    loss_fn: Callable[[Any], Tensor] | None = None,
    step: int = -1,
    lags: Sequence[int] | None = None,
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
    step : int, default -1
        Position T to start from; -1 for the last valid step of each sequence. Shorter sequences are left out.
    lags : sequence of int, optional
        k, not negative; every lag that fits if left out. The result holds them in rising order, lag 0 always first.

    Returns
    -------
    GradientByLag, or dict by qualified name where the model holds several recurrent layers

    Raises
    ------
    ValueError
        If there is no recurrent layer, one is called more than once, or step or lags do not fit.

    Notes
    -----
    Costs one forward pass on the composite path and, per layer and direction, one backward pass (8 without a loss).

    References
    ----------
    Bengio, Simard & Frasconi (1994), doi:10.1109/72.279181; Pascanu, Mikolov & Bengio (2013), arXiv:1211.5063
    """
    with run_in_float64(model, inputs) as double:
        loss = None if loss_fn is None else loss_fn(double.output)
        if loss is not None and loss.numel() != 1:
            raise ValueError(f"loss_fn must return a scalar, got shape {tuple(loss.shape)}")
        results = {name: _measure(layer, run, loss, step, lags) for name, (layer, run) in double.layers.items()}
    return next(iter(results.values())) if len(results) == 1 else results


def _measure(layer: RNNBase, run: Run, loss: Tensor | None, step: int, lags: Sequence[int] | None) -> GradientByLag:
    """Measure one layer's run."""
    num_steps, num_sequences = run.call.inputs.shape[:2]
    lengths = run.call.lengths if run.call.lengths is not None else torch.full((num_sequences,), num_steps)
    checked_lags = _check_lags(lags, num_steps)
    rows = []
    for index, row in enumerate(run.directions):
        is_reverse = index % num_directions(layer) == 1
        ends = _end_steps(lengths, step, num_steps, is_reverse)
        norms = _norms_by_step(row, weights_of(layer, index).projection, loss, ends)
        rows.append(_at_lags(norms, ends, lengths, checked_lags, is_reverse))
    return _summarise(checked_lags, *(torch.stack(parts) for parts in zip(*rows, strict=True)))


def _check_lags(lags: Sequence[int] | None, num_steps: int) -> Tensor:
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
    last = torch.zeros_like(lengths) if is_reverse else lengths - 1
    ends = last if step == -1 else torch.full_like(lengths, step)
    return torch.where(ends < lengths, ends, -1)


def _norms_by_step(row: DirectionRun, projection: Tensor | None, loss: Tensor | None, ends: Tensor) -> Tensor:
    """Return the norm of v^T ds_T / ds_t (T, N)."""
    if not (ends >= 0).any():
        return row.hidden.new_zeros(row.hidden.shape[:2])
    if loss is not None:
        v = loss_adjoint(loss, row, projection, ends)
        norms: Tensor = torch.linalg.vector_norm(send_back(v, row, projection, ends), dim=-1)
        return norms
    generator = torch.Generator().manual_seed(PROBE_SEED)
    squares = torch.zeros_like(row.hidden[..., 0])
    for _ in range(NUM_PROBES):
        v = torch.randn(len(ends), state_size(row), generator=generator, dtype=torch.float64).to(row.hidden.device)
        squares += send_back(v, row, projection, ends).square().sum(dim=-1)
    return (squares / NUM_PROBES).sqrt()


def _at_lags(norms: Tensor, ends: Tensor, lengths: Tensor, lags: Tensor, is_reverse: bool) -> tuple[Tensor, Tensor]:
    """Return the norms (K, N) at position T - k (T + k in reverse), and whether that lies in the sequence."""
    positions = ends + lags.unsqueeze(1) if is_reverse else ends - lags.unsqueeze(1)
    is_inside = (positions >= 0) & (positions < lengths) & (ends >= 0)
    return norms.detach().cpu().gather(0, positions.clamp(0, len(norms) - 1)), is_inside


def _summarise(lags: Tensor, norms: Tensor, is_inside: Tensor) -> GradientByLag:
    """Average the logs of the norms (L*D, K, N) over the sequences inside; read off slope and horizon."""
    is_zero = norms == 0
    counts = is_inside & ~is_zero
    # A NaN that is no padding belongs into the mean: it must not pass for a sequence that has ended.
    log_norm = norms.log().where(counts, 0).sum(dim=-1) / counts.sum(dim=-1)
    lines = tuple(fit_line(lags.double().numpy(), row.numpy()) for row in log_norm)
    reaches = log_norm >= log_norm[:, :1] - math.log(HORIZON_FACTOR)
    horizon = torch.where(reaches, lags.double(), -math.inf).amax(dim=1)
    return GradientByLag(
        lags=lags,
        log_norm=log_norm,
        num_zero=(is_inside & is_zero).sum(dim=-1),
        slope=torch.tensor([line.slope for line in lines], dtype=torch.float64),
        horizon=horizon.where(horizon >= 0, math.nan),
        horizon_is_censored=horizon == lags[-1],
        _lines=lines,
    )
