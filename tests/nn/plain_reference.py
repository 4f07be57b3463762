"""A recurrent layer written out as plainly as possible: per sequence, per step, every h_t and c_t an autograd node.

It shares no code with the package. T steps, N sequences, P state size, H hidden units, L*D layers times directions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import RNNBase

Nodes = list[list[list[Tensor]]]  # [L*D][N][steps of that sequence]


@dataclass
class Unrolled:
    """What the loops computed; nodes are in the order of input positions."""

    output: Tensor  # (T, N, D*P), zero past each end
    finals: tuple[Tensor, ...]  # (L*D, N, P), for the LSTM also (L*D, N, H)
    hidden: Nodes
    cell: Nodes
    gates: dict[str, Nodes] = field(default_factory=dict)

    def padded(self, nodes: Nodes) -> Tensor:
        """Stack nodes to (L*D, T, N, size), zero past each sequence's end."""
        size = next(step.shape[0] for row in nodes for sequence in row for step in sequence)
        filled = self.output.new_zeros(len(nodes), self.output.shape[0], self.output.shape[1], size)
        places = [(r, t, n) for r, row in enumerate(nodes) for n, steps in enumerate(row) for t in range(len(steps))]
        values = [nodes[r][n][t] for r, t, n in places]
        return filled.index_put(tuple(torch.tensor(axis) for axis in zip(*places, strict=True)), torch.stack(values))

    def gradient(self, loss: Tensor, nodes: Nodes) -> Tensor:
        """Return autograd's total gradient of `loss` in every node, padded."""
        flat = [step for row in nodes for sequence in row for step in sequence]
        found = iter(torch.autograd.grad(loss, flat, retain_graph=True, materialize_grads=True))
        return self.padded([[[next(found) for _ in sequence] for sequence in row] for row in nodes])


def unrolled(layer: RNNBase, padded: Tensor, states: tuple[Tensor, ...], lengths: list[int] | None = None) -> Unrolled:
    """Compute the layer on x (T, N, I) from h_0 (L*D, N, P) and c_0 (L*D, N, H), without dropout."""
    num_steps, num_sequences, _ = padded.shape
    lengths = [num_steps] * num_sequences if lengths is None else lengths
    directions = 2 if layer.bidirectional else 1
    rows = layer.num_layers * directions
    hidden: Nodes = [[[] for _ in range(num_sequences)] for _ in range(rows)]
    cell: Nodes = [[[] for _ in range(num_sequences)] for _ in range(rows)]
    gates: dict[str, Nodes] = {}
    finals: list[list[tuple[Tensor, ...]]] = [[] for _ in range(rows)]
    outputs = []
    for n, length in enumerate(lengths):
        values = [padded[t, n] for t in range(length)]
        for index in range(layer.num_layers):
            below = values
            for direction in range(directions):
                row = index * directions + direction
                step = _step_of(layer, f"l{index}_reverse" if direction else f"l{index}")
                state = tuple(part[row, n] for part in states)
                order = list(range(length))[:: -1 if direction else 1]
                computed: dict[int, tuple[Tensor, ...]] = {}
                opened: dict[int, dict[str, Tensor]] = {}
                for t in order:
                    state, opened[t] = step(below[t], state)
                    computed[t] = state
                hidden[row][n] = [computed[t][0] for t in range(length)]
                cell[row][n] = [computed[t][1] for t in range(length)] if len(states) == 2 else []
                for t in range(length):
                    for name, gate in opened[t].items():
                        empty: Nodes = [[[] for _ in range(num_sequences)] for _ in range(rows)]
                        gates.setdefault(name, empty)[row][n].append(gate)
                finals[row].append(state)
            first = index * directions
            values = [torch.cat([hidden[first + d][n][t] for d in range(directions)]) for t in range(length)]
        width = directions * hidden_size_of(layer)
        rest = padded.new_zeros(num_steps - length, width)
        outputs.append(torch.cat([torch.stack(values), rest]) if length else rest)
    stacked = tuple(
        torch.stack([torch.stack([finals[row][n][k] for n in range(num_sequences)]) for row in range(rows)])
        for k in range(len(states))
    )
    return Unrolled(torch.stack(outputs, dim=1), stacked, hidden, cell, gates)


def hidden_size_of(layer: RNNBase) -> int:
    """P, or H without a projection."""
    return layer.proj_size or layer.hidden_size


Step = Callable[[Tensor, tuple[Tensor, ...]], tuple[tuple[Tensor, ...], dict[str, Tensor]]]


def _step_of(layer: RNNBase, suffix: str) -> Step:
    """Return one step of one sequence: x (I,), h (P,), c (H,)."""
    w_ih, w_hh = getattr(layer, f"weight_ih_{suffix}"), getattr(layer, f"weight_hh_{suffix}")
    b_ih = getattr(layer, f"bias_ih_{suffix}") if layer.bias else w_ih.new_zeros(len(w_ih))
    b_hh = getattr(layer, f"bias_hh_{suffix}") if layer.bias else w_hh.new_zeros(len(w_hh))
    size = layer.hidden_size

    def rnn(x: Tensor, state: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
        a = w_ih @ x + b_ih + w_hh @ state[0] + b_hh
        return (torch.tanh(a) if layer.nonlinearity == "tanh" else torch.relu(a),), {}

    def lstm(x: Tensor, state: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
        a_i, a_f, a_g, a_o = (w_ih @ x + b_ih + w_hh @ state[0] + b_hh).split(size)
        i, f, g, o = a_i.sigmoid(), a_f.sigmoid(), a_g.tanh(), a_o.sigmoid()
        c = f * state[1] + i * g
        h = o * c.tanh()
        if layer.proj_size:
            h = getattr(layer, f"weight_hr_{suffix}") @ h
        return (h, c), {"input_gate": i, "forget_gate": f, "cell_gate": g, "output_gate": o}

    def gru(x: Tensor, state: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
        (x_r, x_z, x_n), (h_r, h_z, h_n) = (w_ih @ x + b_ih).split(size), (w_hh @ state[0] + b_hh).split(size)
        r, z = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
        n = (x_n + r * h_n).tanh()
        return ((1 - z) * n + z * state[0],), {"reset_gate": r, "update_gate": z, "new_gate": n}

    return {"RNN_TANH": rnn, "RNN_RELU": rnn, "LSTM": lstm, "GRU": gru}[layer.mode]
