"""A gradient that vanishes is made of subnormal numbers, which may cost a kernel a hundred cycles each.

Vanishing: W_hh of torch's initialisation times .3. Healthy: orthogonal W_hh, and gates that begin open, so that the
gradient of the last step reaches the first one. Both have the same loss, the sum of the last output.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import RNNBase

import gatewise as gw
from gatewise.bench import Claim, Contestant, LayerPair, Point, alternate
from gatewise.bench.layers import train
from performance.table import Part, Table

TARGET = 1.1
OPEN = 4.0  # bias of the forget or update gate: sigma(4) = .98
SMALLEST_NORMAL = torch.finfo(torch.float32).tiny


def last_step(layer: RNNBase, x: Tensor) -> Tensor:
    """Return the last output (N, H)."""
    return layer(x)[0][-1]


def spoil(pair: LayerPair) -> None:
    """Scale W_hh by .3 in both layers."""
    with torch.no_grad():
        for layer in (pair.theirs, pair.ours):
            layer.weight_hh_l0.mul_(0.3)


def heal(pair: LayerPair) -> None:
    """Let the gradient pass in both layers."""
    gw.nn.init.orthogonal_(pair.ours)
    if pair.cell != "RNN":
        gw.nn.init.forget_bias_(pair.ours, OPEN)
    pair.theirs.load_state_dict(pair.ours.state_dict())
    pair.x.mul_(0.1)  # far from the flat ends of tanh


def measure(part: Part) -> Iterator[Point]:
    for size in part.sizes:
        contestants: dict[str, list[Contestant]] = {"torch.nn": [], "gatewise": []}
        for kind, prepare in (("vanishing", spoil), ("healthy", heal)):
            pair = LayerPair(part.cell, size)
            prepare(pair)
            first = pair.expected("training", last_step)["grad input"][0].abs().max().item()
            if (first < SMALLEST_NORMAL) != (kind == "vanishing"):
                break  # too few steps to vanish in float32
            x = pair.input_of("training")
            for name, layer in (("torch.nn", pair.theirs), ("gatewise", pair.ours)):
                run = lambda layer=layer, x=x: train(layer, x, last_step)  # noqa: E731
                contestants[name].append(Contestant(f"{name}, {kind}", run))
        else:
            yield Point(
                cell=part.cell,
                size=size,
                job="training",
                # Each library by itself: what is compared are its own steps.
                samples=alternate(contestants["torch.nn"], part.pace_of_steps)
                | alternate(contestants["gatewise"], part.pace_of_steps),
                claims=(
                    Claim(of="gatewise, vanishing", over="gatewise, healthy", bound="at most", target=TARGET),
                    Claim(of="torch.nn, vanishing", over="torch.nn, healthy"),
                ),
            )


TABLE = Table(
    "subnormals",
    "A vanishing gradient",
    "Training with the last output's sum as the loss: W_hh x .3 against weights whose gradient reaches the first step, "
    "in steps that alternate without a pause, each behind one of its own kind, each library by itself. "
    "Sizes at which the gradient does not vanish in float32 are left out. The target is at most 1.1 times the time.",
    measure,
)
