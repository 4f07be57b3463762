"""Recording a model while the user trains it: gates, states and the total gradient at every step.

Shapes: as in `trace.py`; L*D is layer, then direction, T steps, N sequences, H hidden units, P projection.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Module, RNNBase

from gatewise.nn.composite import Run
from gatewise.nn.observe import observed, recurrent_layers
from gatewise.nn.trace import Trace, trace_of


@dataclass(frozen=True)
class RecordedCall:
    """One call of one layer.

    The gradients are total: autograd's gradients of the nodes h_t and c_t through everything that follows them. Like
    ``.grad``, they add up over the backward passes made. dL/dc_t includes the path of the same step through
    h_t = o * tanh(c_t). Positions past a sequence's end are 0.
    """

    _run: Run
    _trace: Trace | None
    _keeps_gradients: bool

    @property
    def trace(self) -> Trace:
        """The states and gates of the call, detached."""
        if self._trace is None:
            raise RuntimeError("this recording was made with gates=False and holds no trace")
        return self._trace

    @property
    def gates(self) -> dict[str, Tensor]:
        """Gates by name, (L*D, T, N, H), after the activation; {} for the RNN."""
        return self.trace.gates

    @property
    def hidden_gradient(self) -> Tensor:
        """dL/dh_t of shape (L*D, T, N, P)."""
        return self._stack([[state.hidden for state in row.states] for row in self._run.directions])

    @property
    def cell_gradient(self) -> Tensor | None:
        """dL/dc_t of shape (L*D, T, N, H); None for RNN and GRU."""
        if self._run.final.cell is None:
            return None
        return self._stack([[state.require_cell() for state in row.states] for row in self._run.directions])

    @property
    def hidden_gradient_norm(self) -> Tensor:
        """Euclidean norm of dL/dh_t per sequence, (L*D, T, N); a mean over the batch scales it by 1/N."""
        return _norm(self.hidden_gradient)

    @property
    def cell_gradient_norm(self) -> Tensor | None:
        """Euclidean norm of dL/dc_t per sequence, (L*D, T, N); None for RNN and GRU."""
        gradient = self.cell_gradient
        return None if gradient is None else _norm(gradient)

    def _stack(self, nodes: list[list[Tensor]]) -> Tensor:
        if not self._keeps_gradients:
            raise RuntimeError("this recording was made with gradients=False and holds none")
        if not any(node.requires_grad for row in nodes for node in row):
            raise RuntimeError(
                "no gradient can reach this layer: it ran without grad mode or nothing in it requires grad"
            )
        if all(node.grad is None for row in nodes for node in row):
            raise RuntimeError(
                "no backward pass has reached this layer yet; call backward on a loss made from its output"
            )
        return torch.stack([torch.stack([_gradient(node) for node in row]) for row in nodes])


def _norm(gradient: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(gradient, dim=-1)
    return norm


def _gradient(node: Tensor) -> Tensor:
    """Return the gradient kept by a node; zero where the loss does not depend on it."""
    return torch.zeros_like(node) if node.grad is None else node.grad.detach()


class LayerRecording:
    """All calls of one layer; what a single call holds can be read here directly."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.calls: list[RecordedCall] = []

    @property
    def trace(self) -> Trace:
        """See `RecordedCall.trace`."""
        return self._only_call.trace

    @property
    def gates(self) -> dict[str, Tensor]:
        """See `RecordedCall.gates`."""
        return self._only_call.gates

    @property
    def hidden_gradient(self) -> Tensor:
        """See `RecordedCall.hidden_gradient`."""
        return self._only_call.hidden_gradient

    @property
    def cell_gradient(self) -> Tensor | None:
        """See `RecordedCall.cell_gradient`."""
        return self._only_call.cell_gradient

    @property
    def hidden_gradient_norm(self) -> Tensor:
        """See `RecordedCall.hidden_gradient_norm`."""
        return self._only_call.hidden_gradient_norm

    @property
    def cell_gradient_norm(self) -> Tensor | None:
        """See `RecordedCall.cell_gradient_norm`."""
        return self._only_call.cell_gradient_norm

    @property
    def _only_call(self) -> RecordedCall:
        if len(self.calls) != 1:
            raise RuntimeError(f"layer {self._name!r} was called {len(self.calls)} times; choose one from .calls")
        return self.calls[0]


class Recording(Mapping[str, LayerRecording]):
    """What `record` saw: a mapping from qualified module name to `LayerRecording`; "" is the model itself.

    Attributes
    ----------
    skipped : dict of str to str
        Recurrent layers that could not be watched, with the reason.
    """

    def __init__(self, names: list[str], skipped: dict[str, str]) -> None:
        self._layers = {name: LayerRecording(name) for name in names}
        self.skipped = skipped

    def __getitem__(self, name: str) -> LayerRecording:
        if name not in self._layers:
            known = ", ".join(repr(known) for known in self._layers) or "none"
            reason = f" ({self.skipped[name]})" if name in self.skipped else ""
            raise KeyError(f"no recorded layer is named {name!r}{reason}; recorded: {known}")
        return self._layers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)


@contextmanager
def record(model: Module, gates: bool = True, gradients: bool = True) -> Iterator[Recording]:
    """Record gates, states and total gradients of every recurrent layer in any torch model.

    Parameters
    ----------
    model : torch.nn.Module
        Anything that contains torch.nn or gatewise RNN, LSTM or GRU layers. Its own backward, parameters and their
        .grad are as without recording, within the accuracy of the composite path.
    gates : bool, default True
        Keep a detached `Trace` of every call.
    gradients : bool, default True
        Keep dL/dh_t and dL/dc_t of every backward pass, made inside the context or after it.

    Yields
    ------
    Recording
        Mapping by qualified module name; see `RecordedCall` for what each call holds.

    Raises
    ------
    ValueError
        If the model contains no recurrent layer that can be watched.

    Examples
    --------
    >>> import torch, gatewise as gw
    >>> model = torch.nn.LSTM(3, 5)
    >>> with gw.record(model) as recording:
    ...     output, _ = model(torch.randn(7, 2, 3))
    ...     output[-1].sum().backward()
    >>> recording[""].hidden_gradient.shape
    torch.Size([1, 7, 2, 5])
    """
    layers, skipped = recurrent_layers(model)
    recording = Recording(list(layers), skipped)

    def on_run(name: str, layer: RNNBase, run: Run) -> None:
        if gradients:
            _retain_gradients(run)
        trace = trace_of(layer, run).detach() if gates else None
        recording[name].calls.append(RecordedCall(run, trace, gradients))

    with observed(layers, on_run):
        yield recording


def _retain_gradients(run: Run) -> None:
    """Ask autograd to keep the total gradient of every state node."""
    for row in run.directions:
        for state in row.states:
            for node in (state.hidden, state.cell):
                if node is not None and node.requires_grad:
                    node.retain_grad()
