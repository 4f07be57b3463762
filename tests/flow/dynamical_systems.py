"""Systems whose Lyapunov exponents are known, as stacks of Jacobians or as layers. T steps, S or H the state's size."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

import gatewise as gw

SIGMA, RHO, BETA = 10.0, 28.0, 8.0 / 3.0


def orthogonal(size: int, seed: int) -> Tensor:
    return torch.linalg.qr(
        torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    ).Q


def tanh_map(hidden_size: int, gain: float, seed: int) -> gw.nn.RNN:
    """Return h' = tanh(J h) with J ~ N(0, gain^2 / H) as a layer without biases, to be run on zero input."""
    layer = gw.nn.RNN(1, hidden_size, bias=False).double()
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(hidden_size, hidden_size, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(gain / hidden_size**0.5 * drawn)
    return layer


def lorenz_jacobians(num_steps: int, step_s: float = 0.01) -> tuple[Tensor, Tensor]:
    """Return the Jacobians (T, 3, 3) of RK4 steps through Lorenz 63, and Euler's I + dt D at the same points."""
    point = (1.0, 1.0, 1.0)
    for _ in range(2000):
        point = _runge_kutta(point, step_s)
    points = np.empty((num_steps, 3))
    for t in range(num_steps):
        points[t] = point
        point = _runge_kutta(point, step_s)
    identity = np.eye(3)
    # The variational equation along the same four stages: dk_i = D(stage i) (I + its share of dk_{i-1}).
    stage, derivative, total = points, _lorenz_slope(points), np.zeros((num_steps, 3, 3))
    flow = _lorenz(points.T)
    growth = derivative
    for weight, share in ((1, 0.5), (2, 0.5), (2, 1.0), (1, None)):
        total += weight / 6 * growth
        if share is None:
            break
        stage = points + share * step_s * np.stack(flow, axis=1)
        flow = _lorenz(stage.T)
        growth = _lorenz_slope(stage) @ (identity + share * step_s * growth)
    return torch.from_numpy(identity + step_s * total), torch.from_numpy(identity + step_s * derivative)


def _lorenz(point):
    x, y, z = point
    return SIGMA * (y - x), x * (RHO - z) - y, x * y - BETA * z


def _lorenz_slope(points: np.ndarray) -> np.ndarray:
    x, y, z = points.T
    slope = np.zeros((len(points), 3, 3))
    slope[:, 0, 0], slope[:, 0, 1] = -SIGMA, SIGMA
    slope[:, 1, 0], slope[:, 1, 1], slope[:, 1, 2] = RHO - z, -1, -x
    slope[:, 2, 0], slope[:, 2, 1], slope[:, 2, 2] = y, x, -BETA
    return slope


def _runge_kutta(point: tuple[float, ...], step_s: float) -> tuple[float, ...]:
    k1 = _lorenz(point)
    k2 = _lorenz([p + step_s / 2 * k for p, k in zip(point, k1, strict=True)])
    k3 = _lorenz([p + step_s / 2 * k for p, k in zip(point, k2, strict=True)])
    k4 = _lorenz([p + step_s * k for p, k in zip(point, k3, strict=True)])
    stages = zip(point, k1, k2, k3, k4, strict=True)
    return tuple(p + step_s / 6 * (a + 2 * b + 2 * c + d) for p, a, b, c, d in stages)
