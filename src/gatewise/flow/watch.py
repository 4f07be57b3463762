"""Watching a model's recurrent layers during the user's own training, from outside: hooks that change no number.

A training step begins with the first forward pass after a backward pass: several forwards before one backward belong to
one step, and forwards in evaluation mode or without grad mode to none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import RNNBase
from torch.nn.utils.rnn import PackedSequence
from torch.utils.hooks import RemovableHandle

from gatewise.cells import State
from gatewise.flow.replay import Seen
from gatewise.nn.call import Call, read_given_call

OnBackward = Callable[[int, "dict[str, list[Seen]]"], None]


@dataclass
class _Pending:
    """A call whose backward has not come yet."""

    name: str
    call: Call
    ended: State
    random_state: Tensor | None
    gradients: dict[str, Tensor] = field(default_factory=dict)  # "output", "hidden", "cell" -> in the form returned


class StepWatch:
    """Count training steps and hand the calls of every `every`-th one to `on_backward`, right after its backward pass.

    Parameters
    ----------
    layers : dict of RNNBase by name
    every : int
        Steps 0, every, 2*every ... are recorded.
    on_backward : callable
        Gets the step and, by layer, the calls that gradient reached. Called before `backward` returns to the user.
    """

    def __init__(self, layers: dict[str, RNNBase], every: int, on_backward: OnBackward) -> None:
        self.layers, self.every, self.on_backward = layers, every, on_backward
        self.step = -1
        self._has_backward, self._is_queued = True, False
        self._random_state: Tensor | None = None
        self._pending: list[_Pending] = []
        self._handles: list[RemovableHandle] = []

    def attach(self) -> None:
        """Begin to watch; no-op if it has begun."""
        if self._handles:
            return
        for name, layer in self.layers.items():
            after = _Hook(partial(self._after, name, layer))
            self._handles.append(layer.register_forward_hook(after, with_kwargs=True))
            if layer.num_layers > 1:  # dropout stands between layers alone, and a hook costs 5 us a step
                self._handles.append(layer.register_forward_pre_hook(_Hook(partial(self._before, layer))))

    def detach(self) -> None:
        """Stop watching and forget what is pending."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._pending = [], []
        self._has_backward, self._is_queued = True, False

    def _is_due(self) -> bool:
        return self.step % self.every == 0

    def _begin_step(self) -> None:
        """Count a training step where a forward pass is the first after a backward."""
        if self._has_backward:
            self.step += 1
            self._has_backward, self._is_queued, self._pending = False, False, []

    def _before(self, layer: RNNBase, *_: Any) -> None:
        """Keep the random state of which a layer draws its dropout masks."""
        if not layer.training or not torch.is_grad_enabled():
            return
        self._begin_step()
        if self._is_due():
            self._random_state = torch.get_rng_state() if layer.dropout > 0 else None

    def _after(
        self, name: str, layer: RNNBase, _: Any, arguments: Any, keywords: dict[str, Any], returned: Any
    ) -> None:
        output, final = returned
        data = output.data if isinstance(output, PackedSequence) else output
        if not layer.training or not data.requires_grad:
            return
        self._begin_step()
        hidden, cell = final if isinstance(final, tuple) else (final, None)
        if not self._is_due():
            for tensor in (data, hidden):
                tensor.register_hook(self._note_backward)
            return
        call = _detached_call(layer, arguments, keywords)
        ended = State(hidden, cell).map(
            lambda state: state.detach() if call.is_batched else state.detach().unsqueeze(1)
        )
        random_state, self._random_state = self._random_state, None
        pending = _Pending(name, call, ended, random_state)
        self._pending.append(pending)
        for part, tensor in (("output", data), ("hidden", hidden), ("cell", cell)):
            if tensor is not None and tensor.requires_grad:
                tensor.register_hook(partial(self._keep, pending, part))

    def _note_backward(self, _: Tensor | None) -> None:
        self._has_backward = True

    def _keep(self, pending: _Pending, part: str, gradient: Tensor | None) -> None:
        self._has_backward = True
        if gradient is None:  # the native layers are not handed zeros for a result that nothing was made of
            return
        kept, arrived = pending.gradients.get(part), gradient.detach()
        pending.gradients[part] = arrived if kept is None else kept + arrived
        if not self._is_queued:
            self._is_queued = True
            torch.autograd.Variable._execution_engine.queue_callback(self._finish)

    def _finish(self) -> None:
        """Hand over what this backward pass has reached."""
        self._is_queued = False
        seen: dict[str, list[Seen]] = {}
        for pending in self._pending:
            if pending.gradients:
                seen.setdefault(pending.name, []).append(_seen(self.layers[pending.name], pending))
        self._pending = [pending for pending in self._pending if not pending.gradients]
        self.on_backward(self.step, seen)


class _Hook:
    """A hook that stays behind when its module is copied or saved: the copy is not the model in training."""

    def __init__(self, function: Callable[..., None] | None) -> None:
        self.function = function

    def __call__(self, *arguments: Any) -> None:
        if self.function is not None:
            self.function(*arguments)

    def __reduce__(self) -> tuple[type[_Hook], tuple[None]]:
        return _Hook, (None,)


def _detached_call(layer: RNNBase, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Call:
    """Read the call as the layer did, apart from the graph and in the precision of its weights."""
    call = read_given_call(layer, arguments, keywords)
    dtype = call.weights[0][0].dtype
    return replace(
        call,
        data=call.data.detach().to(dtype),
        given=None if call.given is None else call.given.map(lambda state: state.detach().to(dtype)),
        packed=None if call.packed is None else call.packed._replace(data=call.packed.data.detach()),
        weights=[[weight.detach() for weight in row] for row in call.weights],
    )


def _seen(layer: RNNBase, pending: _Pending) -> Seen:
    """Bring the gradients into one form, zero where none arrived."""
    call, gradients, like = pending.call, pending.gradients, pending.call.inputs
    size = layer.proj_size or layer.hidden_size
    output = like.new_zeros(*like.shape[:2], size * (2 if layer.bidirectional else 1))
    if "output" in gradients:
        arrived = gradients["output"].to(like.dtype)
        if not call.is_batched:
            arrived = arrived.unsqueeze(1)
        output = call.padded(arrived.transpose(0, 1) if call.is_batch_first else arrived)

    def final(part: str, state: Tensor) -> Tensor:
        arrived = gradients.get(part)
        if arrived is None:
            return torch.zeros_like(state)
        return (arrived if call.is_batched else arrived.unsqueeze(1)).to(state.dtype)

    cell = call.initial.cell
    states = State(final("hidden", call.initial.hidden), None if cell is None else final("cell", cell))
    return Seen(call, pending.ended, output, states, pending.random_state)
