"""Record the gradient at every step of a stock torch.nn.GRU inside a model, while the model trains as ever."""

import torch
from torch import nn

import gatewise as gw


class Classifier(nn.Module):
    """Classify a sequence by its last hidden state."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.GRU(8, 16, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, T, 8) to (N, 3)."""
        return self.head(self.encoder(x)[0][:, -1])


torch.manual_seed(0)
model, loss_fn = Classifier(), nn.CrossEntropyLoss()
x, y = torch.randn(32, 40, 8), torch.randint(3, (32,))

optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
norms = []  # (T,), one for each step of training
with gw.record(model, gates=False, gradients="norms") as recording:
    for _ in range(50):
        optimizer.zero_grad()
        loss_fn(model(x), y).backward()
        optimizer.step()
        norms.append(recording["encoder"].hidden_gradient_norm[0].mean(dim=1))
        recording.clear()  # or it keeps all 50 calls
print("norm of dL/dh_t, mean over sequences, at first and after 50 steps of training:")
for t in range(0, 40, 3):
    print(f"  t = {t:2d}  {norms[0][t]:.1e}  {norms[-1][t]:.1e}")

measured = gw.flow.gradient_by_lag(model, x, lambda output: loss_fn(output, y))
print(f"the gradient reaches back {measured.horizon.item():g} of 39 steps and loses a factor "
      f"{(-measured.slope).exp().item():.2f} a step")  # fmt: skip
