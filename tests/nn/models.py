"""Models around recurrent layers, as users write them: what `record` has to find and to leave alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from problems import Problem, build_layer, padded_inputs, random


class Encoder(nn.Module):
    """A layer inside a block inside a model."""

    def __init__(self, module: object, problem: Problem) -> None:
        super().__init__()
        self.inner = build_layer(problem, module)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)[0]


class Classifier(nn.Module):
    """Two recurrent layers of different kinds and a head: names "encoder.inner" and "decoder"."""

    def __init__(self, module: object, dropout: float = 0.0) -> None:
        super().__init__()
        options = {"num_layers": 2, "bidirectional": True, "dropout": dropout}
        self.problem = Problem("LSTM", **options)
        self.encoder = Encoder(module, self.problem)
        self.decoder = build_layer(Problem("GRU", input_size=10, hidden_size=6), module, seed=4)
        self.head = nn.Linear(6, 2, dtype=torch.float64)
        with torch.no_grad():
            for k, parameter in enumerate(self.head.parameters()):
                parameter.copy_(random(tuple(parameter.shape), 30 + k))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.decoder(self.encoder(x))[0][-1])

    def inputs(self) -> Tensor:
        """Return x (T, N, I)."""
        return padded_inputs(self.problem)


class OwnForward(nn.LSTM):
    """A subclass that computes something else."""

    def forward(self, input: Tensor, hx: object = None) -> object:  # noqa: A002 - torch's name
        return super().forward(2 * input, hx)
