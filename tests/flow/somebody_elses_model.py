"""A translation model as the PyTorch tutorial on sequence-to-sequence networks writes it: stock layers, loops, dropout.

Nothing here knows gatewise. The decoder calls its GRU one step at a time, so that attention can look at each state.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

START = 0


class EncoderRNN(nn.Module):
    def __init__(self, input_size: int, hidden_size: int, dropout_p: float = 0.1) -> None:
        super().__init__()
        self.embedding = nn.Embedding(input_size, hidden_size)
        self.gru = nn.GRU(hidden_size, hidden_size, batch_first=True)
        self.dropout = nn.Dropout(dropout_p)

    def forward(self, words: Tensor) -> tuple[Tensor, Tensor]:
        return self.gru(self.dropout(self.embedding(words)))


class BahdanauAttention(nn.Module):
    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.Wa = nn.Linear(hidden_size, hidden_size)
        self.Ua = nn.Linear(hidden_size, hidden_size)
        self.Va = nn.Linear(hidden_size, 1)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        scores = self.Va(torch.tanh(self.Wa(query) + self.Ua(keys))).squeeze(2).unsqueeze(1)
        return torch.bmm(F.softmax(scores, dim=-1), keys)


class AttnDecoderRNN(nn.Module):
    def __init__(self, hidden_size: int, output_size: int, dropout_p: float = 0.1) -> None:
        super().__init__()
        self.embedding = nn.Embedding(output_size, hidden_size)
        self.attention = BahdanauAttention(hidden_size)
        self.gru = nn.GRU(2 * hidden_size, hidden_size, batch_first=True)
        self.out = nn.Linear(hidden_size, output_size)
        self.dropout = nn.Dropout(dropout_p)

    def forward(self, encoder_outputs: Tensor, encoder_hidden: Tensor, target: Tensor) -> Tensor:
        words = torch.full((len(target), 1), START)
        hidden, logits = encoder_hidden, []
        for i in range(target.shape[1]):
            context = self.attention(hidden.permute(1, 0, 2), encoder_outputs)
            output, hidden = self.gru(torch.cat([self.dropout(self.embedding(words)), context], dim=2), hidden)
            logits.append(self.out(output))
            words = target[:, i : i + 1]  # teacher forcing
        return F.log_softmax(torch.cat(logits, dim=1), dim=-1)


class Translator(nn.Module):
    def __init__(self, num_words: int = 12, hidden_size: int = 16) -> None:
        super().__init__()
        self.encoder = EncoderRNN(num_words, hidden_size)
        self.decoder = AttnDecoderRNN(hidden_size, num_words)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decoder(*self.encoder(source), target)


def translation_batch(num_sequences: int = 4, num_steps: int = 20, num_words: int = 12) -> tuple[Tensor, Tensor]:
    """Return source and target (N, T): the target is the source backwards."""
    generator = torch.Generator().manual_seed(5)
    source = torch.randint(1, num_words, (num_sequences, num_steps), generator=generator)
    return source, source.flip(1)


def translation_loss(target: Tensor, output: Tensor) -> Tensor:
    return F.nll_loss(output.flatten(0, 1), target.flatten())
