"""The cells as seen from outside: our equations, torch's cell of the same name, random weights and states, plain numpy.

Shapes: N sequences, I inputs, H hidden units, P projection (P = H without one), G gates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from gatewise import cells
from problems import random

I, H = 4, 5  # noqa: E741 - the sizes' letters


@dataclass(frozen=True)
class Case:
    """One cell with its options."""

    name: str
    equations: cells.Cell
    bias: bool = True
    proj_size: int = 0

    @property
    def id(self) -> str:
        """Readable: name and options that are not the default."""
        return self.name + ("" if self.bias else "-nobias") + (f"-P{self.proj_size}" if self.proj_size else "")

    @property
    def state_size(self) -> int:
        """P, or H without a projection."""
        return self.proj_size or H

    def weights(self, dtype: torch.dtype = torch.float64) -> cells.Weights:
        """Random weights and biases."""
        rows = {"RNN": 1, "relu-RNN": 1, "LSTM": 4, "GRU": 3}[self.name] * H
        return cells.Weights(
            input=random((rows, I), 1, dtype),
            recurrent=random((rows, self.state_size), 2, dtype),
            input_bias=random((rows,), 3, dtype) if self.bias else None,
            recurrent_bias=random((rows,), 4, dtype) if self.bias else None,
            projection=random((self.proj_size, H), 5, dtype) if self.proj_size else None,
        )

    def inputs(self, *leading: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        """Return x (..., I)."""
        return random((*leading, I), 6, dtype)

    def state(self, *leading: int, dtype: torch.dtype = torch.float64) -> cells.State:
        """Return h_{t-1} (..., P) and, for the LSTM, c_{t-1} (..., H)."""
        cell = random((*leading, H), 8, dtype) if self.name == "LSTM" else None
        return cells.State(0.7 * random((*leading, self.state_size), 7, dtype), cell)


PLAIN = [Case("RNN", cells.RNN("tanh")), Case("relu-RNN", cells.RNN("relu"))]
PLAIN += [Case("LSTM", cells.LSTM()), Case("GRU", cells.GRU())]
CASES = PLAIN + [Case(case.name, case.equations, bias=False) for case in PLAIN]
CASES += [Case("LSTM", cells.LSTM(), proj_size=3), Case("LSTM", cells.LSTM(), bias=False, proj_size=1)]


def numpy_step(case: Case, x: np.ndarray, h: np.ndarray, c: np.ndarray | None) -> dict[str, np.ndarray]:
    """One step of one sequence, written out gate by gate: x (I,), h (P,), c (H,)."""
    weights = case.weights()
    no_bias = np.zeros(len(weights.input))
    b_ih, b_hh = (no_bias if bias is None else bias.numpy() for bias in (weights.input_bias, weights.recurrent_bias))
    w_ih, w_hh = weights.input.numpy(), weights.recurrent.numpy()

    def rows(k: int) -> slice:
        return slice(k * H, (k + 1) * H)

    def a(k: int) -> np.ndarray:
        return w_ih[rows(k)] @ x + b_ih[rows(k)] + w_hh[rows(k)] @ h + b_hh[rows(k)]

    def sigma(v: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-v))

    if case.name == "RNN":
        return {"hidden": np.tanh(a(0))}
    if case.name == "relu-RNN":
        return {"hidden": np.maximum(a(0), 0)}
    if case.name == "GRU":
        r, z = sigma(a(0)), sigma(a(1))
        n = np.tanh(w_ih[rows(2)] @ x + b_ih[rows(2)] + r * (w_hh[rows(2)] @ h + b_hh[rows(2)]))
        return {"hidden": (1 - z) * n + z * h, "reset_gate": r, "update_gate": z, "new_gate": n}
    i, f, g, o = sigma(a(0)), sigma(a(1)), np.tanh(a(2)), sigma(a(3))
    c_t = f * c + i * g
    h_t = o * np.tanh(c_t)
    if weights.projection is not None:
        h_t = weights.projection.numpy() @ h_t
    return {"hidden": h_t, "cell": c_t, "input_gate": i, "forget_gate": f, "cell_gate": g, "output_gate": o}
