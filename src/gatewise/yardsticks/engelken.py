"""Engelken, Wolf & Abbott (2023): the Lyapunov spectrum of a random network does not depend on its size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn.init import normal_

from gatewise import flow, nn
from gatewise.yardsticks.yardstick import Criterion, Numbers, Theirs, Yardstick, lowest, values

GAIN = 3.0
SIZES, QUICK_SIZES = (100, 200), (25, 50)
# i/H at which the spectra are laid over each other. The last tenth is left out: it rests on the smallest eigenvalues.
SHARES = tuple(np.linspace(0.05, 0.9, 18).round(2).tolist())
LARGEST_DISTANCE, LEAST_CONTRAST = 0.05, 5.0


class Engelken(Yardstick):
    """Spectra of h' = tanh(J h) at two sizes, against i/H and, as a control, against i."""

    name = "engelken2023"
    source = (
        "Engelken, Wolf & Abbott (2023), Lyapunov spectra of chaotic recurrent neural networks. "
        "doi:10.1103/PhysRevResearch.5.043044, arXiv:2006.02427"
    )
    claim = "The Lyapunov spectrum of a random tanh network, drawn against i/H, is the same at every size."
    theirs = Theirs("chaos in random networks is extensive, with a size-invariant Lyapunov spectrum", "abstract")
    ours = (
        "h' = tanh(J h), J from N(0, 9/H), H = 100 and 200, no input, start from N(0, 1), 1000 steps of which 200 do "
        "not count; spectra read at i/H = .05 to .9, means over the seeds"
    )
    judged = (
        "largest distance of the two mean spectra at equal i/H, over their fall from i/H = .05 to .9: at most .05; at "
        "equal i it is at least 5 times as large (control); the largest exponent is positive in every seed"
    )
    quick = "H = 25 and 50, 2 seeds, 300 steps"
    seeds = (0, 1, 2, 3, 4)
    quick_seeds = (0, 1)
    shown = ("small: largest exponent", "large: largest exponent")

    def run(self, seed: int, is_quick: bool = False) -> Numbers:
        """Measure the spectrum at both sizes."""
        numbers: Numbers = {}
        for size, hidden_size in zip(("small", "large"), QUICK_SIZES if is_quick else SIZES, strict=True):
            exponents = _spectrum(hidden_size, seed, 300 if is_quick else 1000).numpy()
            position = np.arange(1, hidden_size + 1) / hidden_size
            numbers[f"{size}: largest exponent"] = float(exponents[0])
            for share, exponent in zip(SHARES, np.interp(SHARES, position, exponents), strict=True):
                numbers[f"{size}: at i/H {share:g}"] = float(exponent)
            if size == "large":  # the control: its first exponents under the small network's positions
                for share, exponent in zip(SHARES, np.interp(SHARES, 2 * position, exponents), strict=True):
                    numbers[f"{size}: at equal i {share:g}"] = float(exponent)
        return numbers

    def judge(self, runs: Sequence[Numbers]) -> list[Criterion]:
        """Lay the mean spectra over each other, rightly and wrongly."""
        small, large, wrong = (_mean(runs, name) for name in ("small: at i/H", "large: at i/H", "large: at equal i"))
        fall = small[0] - small[-1]
        distance, control = (float(np.abs(small - other).max() / fall) for other in (large, wrong))
        least = float(np.min([lowest(runs, f"{size}: largest exponent") for size in ("small", "large")]))
        return [
            Criterion("distance of the spectra at equal i/H", distance, "at most", LARGEST_DISTANCE),
            Criterion("the same at equal i, over that at equal i/H", control / distance, "at least", LEAST_CONTRAST),
            Criterion("least of the largest exponents", least, "at least", 0.0),
        ]


def _spectrum(hidden_size: int, seed: int, num_steps: int) -> Tensor:
    """Return all H Lyapunov exponents of one random network, (H,)."""
    generator = Generator().manual_seed(seed)
    layer = nn.RNN(1, hidden_size, bias=False, dtype=torch.float64)
    normal_(layer.get_parameter("weight_hh_l0"), 0, GAIN / hidden_size**0.5, generator)
    start = torch.randn(1, 1, hidden_size, generator=generator, dtype=torch.float64)
    silence = torch.zeros(num_steps, 1, 1, dtype=torch.float64)
    return flow.lyapunov_spectrum(layer, silence, warm_up=num_steps // 5, hx=start).exponents[0]


def _mean(runs: Sequence[Numbers], name: str) -> NDArray[np.float64]:
    """Return the mean over the seeds at every share, (18,)."""
    return np.array([np.mean(values(runs, f"{name} {share:g}")) for share in SHARES])
