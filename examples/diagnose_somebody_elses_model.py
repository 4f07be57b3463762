"""Ask of a model that knows nothing of gatewise whether its gradient arrives, take the advice, and watch it train."""

import logging

import torch
from torch import nn

import gatewise as gw


class SentimentRNN(nn.Module):
    """A text classifier as it stands in many tutorials: embedding, stock LSTM, the last state, a linear readout."""

    def __init__(self, num_words: int = 50) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_words, 16)
        self.lstm = nn.LSTM(16, 32, batch_first=True)
        self.fc = nn.Linear(32, 2)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        """Map (N, T) to (N, 2)."""
        _, (h_n, _) = self.lstm(self.embedding(words))
        return self.fc(h_n[-1])


torch.manual_seed(0)
model, loss_fn = SentimentRNN(), nn.CrossEntropyLoss()
words, labels = torch.randint(2, 50, (16, 60)), torch.randint(2, (16,))
words[:, 0] = labels  # the first word decides: 59 steps before the answer is given

diagnosis = gw.flow.diagnose(model, words, lambda output: loss_fn(output, labels), needed_lag=59)
print(diagnosis)

# What the first piece of advice does: memory gates spread over dependencies of up to 60 steps (Tallec & Ollivier 2018).
with torch.no_grad():
    log_u = torch.empty(32).uniform_(1, 59).log()
    model.lstm.bias_ih_l0[0:32], model.lstm.bias_ih_l0[32:64] = -log_u, log_u
    model.lstm.bias_hh_l0[0:64] = 0
print("\nafter it:", gw.flow.diagnose(model, words, lambda output: loss_fn(output, labels), needed_lag=59).verdict)

logging.basicConfig(format="%(message)s")  # the monitor warns through logging the moment a verdict turns
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
with gw.flow.Monitor(model, every=10, needed_lag=59) as monitor:
    for _ in range(41):
        optimizer.zero_grad()
        loss = loss_fn(model(words), labels)
        loss.backward()
        optimizer.step()
for record in monitor.records:
    horizon = record.scalars["lstm/l0/horizon"]
    print(f"training step {record.step:2d}: {record.verdict}, the gradient reaches back {horizon:.0f} of 59 steps")
print(f"loss {loss.item():.4f}")
