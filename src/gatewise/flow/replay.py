"""A call of a layer, seen again after the model's own backward: the gradients of its states, and how far they reach.

What enters the layer from outside, dL/dy_t, dL/dh_n and dL/dc_n, was taken from the model's own backward. The native
kernels carry it back through the layer; where they do not apply, autograd does, through the composite path.

Shapes: L*D layers times directions, T steps, N sequences, H hidden units, P projection (P = H without one).
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import RNNBase

from gatewise.cells import State
from gatewise.flow.adjoint import norm
from gatewise.flow.gradient_by_lag import norms_by_step
from gatewise.flow.hidden_gradient import gradients_of
from gatewise.flow.joined_calls import continues
from gatewise.flow.read_steps import last_steps_read
from gatewise.flow.steps import given_or_full, last_steps
from gatewise.nn import ragged
from gatewise.nn.call import Call
from gatewise.nn.composite import run_composite
from gatewise.nn.native.replay import Entering, NativeStates
from gatewise.nn.paths import choose_path
from gatewise.nn.weights import num_directions, weights_of


@dataclass(frozen=True)
class Seen:
    """What one call of a layer got, and what its results' gradients were; all detached.

    Attributes
    ----------
    call : Call
    ended : State
        h_n (L*D, N, P) and c_n (L*D, N, H).
    output : Tensor of shape (T, N, D*P)
        dL/dy_t; zero where nothing arrived.
    final : State
        dL/dh_n (L*D, N, P) and dL/dc_n (L*D, N, H).
    random_state : Tensor or None
        The generator's before the call, if the layer drew dropout masks.
    """

    call: Call
    ended: State
    output: Tensor
    final: State
    random_state: Tensor | None

    def first_sequences(self, count: int) -> Seen:
        """Return the first sequences alone; all of them where the masks of dropout belong to the whole batch."""
        if self.random_state is not None or count >= self.output.shape[1]:
            return self
        call = replace(
            self.call,
            data=self.call.inputs[:, :count],
            given=self.call.initial.map(lambda state: state[:, :count]),
            lengths=None if self.call.lengths is None else self.call.lengths[:count],
            packed=None,
        )
        ended, final = (states.map(lambda state: state[:, :count]) for states in (self.ended, self.final))
        return Seen(call, ended, self.output[:, :count], final, None)


@dataclass(frozen=True)
class Replay:
    """Norms by step (L*D, T, N), float64: of the total gradients, and of v^T ds_T / ds_t for v = dL/ds_T.

    Attributes
    ----------
    norms : Tensor of shape (L*D, T, N)
        ||dL/dh_t||, total.
    sent_back : Tensor of shape (L*D, T, N)
        ||v^T ds_T / ds_t|| along the layer's own recurrence.
    ends : Tensor of shape (L*D, N)
        T: the last processed step at which gradient enters; -1 where none does.
    is_finite : Tensor of shape (L*D,), bool
        Whether all states and total gradients are finite.
    """

    norms: Tensor
    sent_back: Tensor
    ends: Tensor
    is_finite: Tensor


def chains(layer: RNNBase, calls: list[Seen]) -> list[list[Seen]]:
    """Group calls into chains: each starts from the state in which the one before ended, as decoders go on."""
    found = [[calls[0]]]
    for earlier, later in pairwise(calls):
        if continues(layer, earlier.call, earlier.ended, later.call):
            found[-1].append(later)
        else:
            found.append([later])
    return found


def replay_chain(layer: RNNBase, chain: list[Seen]) -> Replay:
    """Return how the gradient fared over all steps of a chain of calls."""
    parts = [replay(layer, seen) for seen in chain]
    if len(parts) == 1:
        return parts[0]
    # The gradient of an h_n within the chain holds the way through the next call already: right for the totals of each
    # call. Along the whole chain goes only what enters in its last call.
    before = [torch.zeros_like(seen.output) for seen in chain[:-1]]
    whole = replace(
        chain[-1],
        call=replace(chain[0].call, data=torch.cat([seen.call.inputs for seen in chain])),
        output=torch.cat([*before, chain[-1].output]),
    )
    return replace(
        replay(layer, whole),
        norms=torch.cat([part.norms for part in parts], dim=1),
        is_finite=torch.stack([part.is_finite for part in parts]).all(dim=0),
    )


def replay(layer: RNNBase, seen: Seen) -> Replay:
    """Return how the gradient fared in one call."""
    # Scaled to 1: the float32 kernels take what is smaller than 1e-38 for zero. Norms are scaled back in float64.
    parts = [seen.output, seen.final.hidden] + ([] if seen.final.cell is None else [seen.final.cell])
    largest = max(float(torch.linalg.vector_norm(part, torch.inf)) if part.numel() else 0.0 for part in parts)
    scale = largest if 0 < largest < float("inf") else 1.0
    scaled = replace(seen, output=seen.output / scale, final=seen.final.map(lambda part: part / scale))
    compute = _replay_native if choose_path(seen.call) == "native" else _replay_composite
    if seen.random_state is None:
        found = compute(layer, scaled)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(seen.random_state)
            found = compute(layer, scaled)
    return replace(found, norms=found.norms * scale, sent_back=found.sent_back * scale)


def _replay_composite(layer: RNNBase, seen: Seen) -> Replay:
    with torch.enable_grad():
        start = seen.call.initial.map(lambda state: state.detach().requires_grad_())
        run = run_composite(layer, replace(seen.call, given=start))
        loss = (run.output * seen.output).sum() + (run.final.hidden * seen.final.hidden).sum()
        if run.final.cell is not None and seen.final.cell is not None:
            loss = loss + (run.final.cell * seen.final.cell).sum()
        gradients = gradients_of(loss, layer, [run])
        ends = last_steps_read(gradients.output_norms, gradients.cell_output_norms, num_directions(layer))
        sent_back = [
            norms_by_step(row, weights_of(layer, index).projection, loss, ends[index])
            for index, row in enumerate(run.directions)
        ]
    finite = [bool(row.hidden.isfinite().all()) for row in run.directions]
    norms = gradients.norms
    return Replay(
        norms=norms.double().cpu(),
        sent_back=torch.stack(sent_back).detach().double().cpu(),
        ends=ends,
        is_finite=torch.tensor(finite) & norms.isfinite().flatten(1).all(dim=1).cpu(),
    )


def _replay_native(layer: RNNBase, seen: Seen) -> Replay:
    with torch.no_grad():
        layers, masks = _forwards(layer, seen.call)
        grad_output, rows = seen.output, []
        for number in reversed(range(layer.num_layers)):
            own = slice(number * num_directions(layer), (number + 1) * num_directions(layer))
            entering = layers[number].entering(grad_output, seen.final.map(operator.itemgetter(own)))
            replayed, grad_input = _replay_layer(layers[number], entering)
            rows.append(replayed)
            mask = masks[number]
            grad_output = grad_input if mask is None else grad_input * mask
    rows.reverse()
    return Replay(
        norms=torch.cat([row.norms for row in rows]),
        sent_back=torch.cat([row.sent_back for row in rows]),
        ends=torch.cat([row.ends for row in rows]),
        is_finite=torch.cat([row.is_finite for row in rows]),
    )


def _forwards(layer: RNNBase, call: Call) -> tuple[list[NativeStates], list[Tensor | None]]:
    """Run every layer of the stack; also return the dropout masks between them, drawn as the model's own call did."""
    layers: list[NativeStates] = []
    masks: list[Tensor | None] = []
    inputs = call.inputs
    for number in range(layer.num_layers):
        mask = None
        if number > 0 and layer.dropout > 0 and layer.training:
            mask = ragged.dropout(torch.ones_like(inputs), layer.dropout, call.lengths, call.packed)
            inputs = inputs * mask
        layers.append(NativeStates(call, inputs, number))
        masks.append(mask)
        inputs = layers[-1].output
    return layers, masks


def _replay_layer(states: NativeStates, entering: Entering) -> tuple[Replay, Tensor]:
    """Return one layer of the stack and the gradient of its input (T, N, I)."""
    entered = torch.linalg.vector_norm(entering.hidden, dim=-1)
    total = states.send_back(entering)
    norms = _norms(total.hidden)
    ends = _ends(states, entered, entering.cell)
    elsewhere = torch.arange(entered.shape[1]).view(1, -1, 1) != ends.unsqueeze(1)
    sent = total
    if (entered * elsewhere).any():  # a final cell's gradient enters at the last processed step, which is the end then
        sent = states.send_back(Entering(entering.hidden.masked_fill(elsewhere.unsqueeze(-1), 0), entering.cell))
    sent_back = norms if sent is total else _norms(sent.hidden)
    if sent.cell_adjoint is not None:
        sent_back = torch.hypot(sent_back, _norms(sent.cell_adjoint))
    is_finite = norms.isfinite().flatten(1).all(dim=1) & states.output.isfinite().all()
    return Replay(norms, sent_back, ends, is_finite), total.input


def _norms(vectors: Tensor) -> Tensor:
    """Return the Euclidean norms along the last axis, float64, in which squares of float32 stay within the range."""
    if vectors.dtype != torch.float32:
        return norm(vectors.double())
    norms: Tensor = torch.linalg.vector_norm(vectors, dim=-1, dtype=torch.float64)
    return norms


def _ends(states: NativeStates, entered: Tensor, final_cell: Tensor | None) -> Tensor:
    """Return the last processed step at which gradient enters (D, N), from the norms of what enters (D, T, N)."""
    directions = len(entered)
    ends = last_steps_read(entered, None, directions)
    if final_cell is None:
        return ends
    lengths = given_or_full(states.lengths, states.output)
    last = torch.stack([last_steps(lengths, is_reverse=direction == 1) for direction in range(directions)])
    return torch.where((final_cell != 0).any(dim=-1), last, ends)
