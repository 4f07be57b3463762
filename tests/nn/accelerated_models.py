"""Models as users write them, for `gw.accelerate`: what it has to find, to leave alone and to train alike."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from problems import random


class Seq2Seq(nn.Module):
    """Translate tokens: a packed bidirectional LSTM encoder, and a GRU decoder that starts from its last states."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.encoder = nn.LSTM(6, 7, num_layers=2, bidirectional=True, batch_first=True, dropout=dropout)
        self.bridge = nn.Sequential(nn.Linear(14, 9), nn.Tanh())
        self.decoder = nn.GRU(6 + 14, 9, batch_first=True)
        self.smoother = nn.RNN(9, 8, nonlinearity="relu", batch_first=True)
        self.head = nn.Linear(8, 11)
        self.double()

    def forward(self, source: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        """Map source (N, T), lengths (N,) and target (N, S) to scores (N, S, 11)."""
        packed = pack_padded_sequence(self.embed(source), lengths, batch_first=True, enforce_sorted=False)
        output, (h_n, _) = self.encoder(packed)
        seen, _ = pad_packed_sequence(output, batch_first=True)
        context = seen.mean(1, keepdim=True).expand(-1, target.shape[1], -1)
        state = self.bridge(torch.cat([h_n[-2], h_n[-1]], dim=-1)).unsqueeze(0)
        decoded, _ = self.decoder(torch.cat([self.embed(target), context], dim=-1), state)
        scores: Tensor = self.head(self.smoother(decoded)[0])
        return scores


RECURRENT = ("encoder", "decoder", "smoother")
LENGTHS = torch.tensor([5, 8, 2, 7])


def tokens(seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Return source (N, T), lengths (N,) and target (N, S)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(11, (4, 8), generator=generator), LENGTHS, torch.randint(11, (4, 6), generator=generator)


def loss_of(model: nn.Module, seed: int = 1) -> Tensor:
    """Return the mean cross-entropy of the target shifted by one."""
    source, lengths, target = tokens(seed)
    scores = model(source, lengths, target)
    return nn.functional.cross_entropy(scores[:, :-1].flatten(0, 1), target[:, 1:].flatten())


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> list[float]:
    """Return the losses of a few steps of training with clipping, dropout masks seeded."""
    losses = []
    for step in range(steps):
        torch.manual_seed(step)
        optimizer.zero_grad()
        loss = loss_of(model, seed=step)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


def twins(dropout: float = 0.0) -> tuple[Seq2Seq, Seq2Seq]:
    """Return two equal models."""
    model = Seq2Seq(dropout)
    with torch.no_grad():
        for k, parameter in enumerate(model.parameters()):
            parameter.add_(0.1 * random(tuple(parameter.shape), k))
    return model, copy.deepcopy(model)
