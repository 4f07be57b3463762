"""Print what the gates of an LSTM do on a sequence, and how long each unit remembers."""

import torch

import gatewise as gw

torch.manual_seed(0)
layer = gw.nn.LSTM(input_size=3, hidden_size=4, batch_first=True)
x = torch.randn(2, 10, 3)

trace = layer.trace(x, lengths=[10, 6])
for name, gate in trace.gates.items():
    valid = gate[:, trace.valid()]
    print(f"{name:<12} mean {valid.mean():.2f}, from {valid.min():.2f} to {valid.max():.2f}")
half_lives = gw.flow.memory_half_life(trace)[0]
print("half-life of each unit, in steps:", ", ".join(f"{steps:.1f}" for steps in half_lives))
