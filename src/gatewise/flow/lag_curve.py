"""A norm by lag: its mean over sequences, its slope and its horizon."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gatewise.flow.regression import Line, fit_line

# The horizon is where the gradient has shrunk by this factor, unless the caller names another.
HORIZON_FACTOR = 100.0


@dataclass(frozen=True)
class GradientByLag:
    """Norms of v^T ds_T / ds_{T-k}, or of v^T ds_T / dx_{T-k}, per layer and direction (L*D) and lag (K).

    Attributes
    ----------
    lags : Tensor of shape (K,), int64
        k, in steps.
    log_norm : Tensor of shape (L*D, K)
        Natural log of the Euclidean norm, mean over the sequences (and the steps T, where several were chosen) whose
        norm is not zero; NaN where there is none.
    num_zero : Tensor of shape (L*D, K), int64
        How many were left out of the mean because their norm is exactly zero.
    slope : Tensor of shape (L*D,)
        Least squares of log_norm over the finite lags: log factor per step; negative where the gradient vanishes.
    horizon : Tensor of shape (L*D,)
        Largest lag with log_norm(k) >= log_norm(0) - ln horizon_factor; NaN where no gradient arrived at lag 0, or one
        at any lag is no number.
    horizon_is_censored : Tensor of shape (L*D,), bool
        Whether that is the last lag looked at that lies in any sequence, so that the true horizon may be larger.
    horizon_factor : float
    """

    lags: Tensor
    log_norm: Tensor
    num_zero: Tensor
    slope: Tensor
    horizon: Tensor
    horizon_is_censored: Tensor
    horizon_factor: float
    _lines: tuple[Line, ...]

    def slope_interval(self, confidence: float = 0.95) -> Tensor:
        """Return the interval of `slope`, (L*D, 2); needs SciPy."""
        return torch.tensor([line.slope_interval(confidence) for line in self._lines], dtype=torch.float64)


def summarise(lags: Tensor, norms: Tensor, is_inside: Tensor, horizon_factor: float) -> GradientByLag:
    """Average the logs of the norms (L*D, K, N) over the sequences inside; read off slope and horizon."""
    is_zero = norms == 0
    counts = is_inside & ~is_zero
    # A NaN that is no padding belongs into the mean: it must not pass for a sequence that has ended.
    log_norm = norms.log().where(counts, 0).sum(dim=-1) / counts.sum(dim=-1)
    lines = tuple(fit_line(lags.double().numpy(), row.numpy()) for row in log_norm)
    reaches = log_norm >= log_norm[:, :1] - math.log(horizon_factor)
    horizon = torch.where(reaches, lags.double(), -math.inf).amax(dim=1)
    is_broken = (is_inside & norms.isnan()).flatten(1).any(dim=1)
    # Lags beyond every sequence were asked for, but nobody has looked there.
    last_lag = torch.where(is_inside.any(dim=-1), lags, -1).amax(dim=1)
    return GradientByLag(
        lags=lags,
        log_norm=log_norm,
        num_zero=(is_inside & is_zero).sum(dim=-1),
        slope=torch.tensor([line.slope for line in lines], dtype=torch.float64),
        horizon=horizon.where((horizon >= 0) & ~is_broken, math.nan),
        horizon_is_censored=(horizon == last_lag) & ~is_broken,
        horizon_factor=horizon_factor,
        _lines=lines,
    )


def check_horizon_factor(factor: float) -> None:
    """Refuse a threshold that is none."""
    if not 1 < factor < math.inf:
        raise ValueError(
            f"horizon_factor must be a finite number above 1, by which the gradient has shrunk, got {factor:g}"
        )


def norms_at_lags(
    norms: Tensor, ends: Tensor, lengths: Tensor, lags: Tensor, *, is_reverse: bool
) -> tuple[Tensor, Tensor]:
    """Return norms by step (T, N) at the lags (K, N) from `ends` (N,), and whether each lies in its sequence.

    Lag k is position T - k, in reverse T + k; an end of -1 leaves a sequence out.
    """
    positions = ends + lags.unsqueeze(1) if is_reverse else ends - lags.unsqueeze(1)
    is_inside = (positions >= 0) & (positions < lengths) & (ends >= 0)
    return norms.detach().cpu().gather(0, positions.clamp(0, len(norms) - 1)), is_inside
