"""Recording a model while the user trains it: gates, states and the total gradient at every step.

Shapes: as in `trace.py`; L*D is layer, then direction, T steps, N sequences, H hidden units, P projection.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Literal

from torch import Tensor
from torch.nn import Module, RNNBase

from gatewise.nn.composite import Run
from gatewise.nn.native import NativeRun, TotalGradients
from gatewise.nn.observe import NativeObserver, observed, recurrent_layers
from gatewise.nn.recorded_call import CompositeCall, RecordedCall
from gatewise.nn.recorded_native import NativeCall
from gatewise.nn.trace import Trace


class LayerRecording:
    """All calls of one layer; what a single call holds can be read here directly."""

    def __init__(self, name: str, calls: list[RecordedCall]) -> None:
        self._name, self._calls = name, calls

    @property
    def calls(self) -> list[RecordedCall]:
        """The calls so far, in their order."""
        return [*self._calls]

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
        calls = self.calls
        if not calls:
            raise RuntimeError(f"layer {self._name!r} was not called since the recording began or was cleared")
        if len(calls) > 1:
            raise RuntimeError(
                f"layer {self._name!r} was called {len(calls)} times; choose one from .calls, or where these are the "
                "steps of a loop, clear() the recording after each"
            )
        return calls[0]


class Recording(Mapping[str, LayerRecording]):
    """What `record` saw: a mapping from qualified module name to `LayerRecording`; "" is the model itself.

    Attributes
    ----------
    skipped : dict of str to str
        Recurrent layers that could not be watched, with the reason.
    """

    def __init__(self, calls: dict[str, list[RecordedCall]], skipped: dict[str, str]) -> None:
        self._calls = calls
        self.skipped = skipped

    def clear(self) -> None:
        """Forget the calls so far; the layers and their names stay, and whatever was read before.

        For a recording around a training loop. A call under way counts as one to come.
        """
        for calls in self._calls.values():
            calls.clear()

    def __getitem__(self, name: str) -> LayerRecording:
        if name not in self._calls:
            known = ", ".join(repr(known) for known in self._calls) or "none"
            reason = f" ({self.skipped[name]})" if name in self.skipped else ""
            raise KeyError(f"no recorded layer is named {name!r}{reason}; recorded: {known}")
        return LayerRecording(name, self._calls[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._calls)

    def __len__(self) -> int:
        return len(self._calls)


def record(
    model: Module, gates: bool = True, gradients: bool | Literal["norms"] = True
) -> AbstractContextManager[Recording]:
    """Record gates, states and total gradients of every recurrent layer in any torch model.

    Parameters
    ----------
    model : torch.nn.Module
        Anything that contains torch.nn or gatewise RNN, LSTM or GRU layers. Its outputs, its own backward and the
        parameters' .grad are as without recording: bit-equal for gatewise layers on the native path, within its
        accuracy for torch.nn's and on other paths.
    gates : bool, default True
        Keep a detached `Trace` of every call.
    gradients : bool or "norms", default True
        Keep dL/dh_t and dL/dc_t of every backward pass, made inside the context or after it; "norms" keeps their
        Euclidean norms alone, which takes next to no memory or time, and allows one backward pass a call.

    Returns
    -------
    context manager
        Gives a `Recording`, a mapping by qualified module name; see `RecordedCall` for what each call holds.

    Raises
    ------
    ValueError
        If the model contains no recurrent layer that can be watched, or `gradients` is something else.

    Examples
    --------
    >>> import torch, gatewise as gw
    >>> model = torch.nn.LSTM(3, 5)
    >>> with gw.record(model) as recording:
    ...     output, _ = model(torch.randn(7, 2, 3))
    ...     output[-1].sum().backward()
    >>> recording[""].hidden_gradient.shape
    torch.Size([1, 7, 2, 5])

    Around a training loop, where it keeps every call until it is cleared, and costs less than one around each step:

    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> with gw.record(model, gates=False, gradients="norms") as recording:
    ...     for x in torch.randn(3, 7, 2, 3):
    ...         optimizer.zero_grad()
    ...         model(x)[0][-1].square().sum().backward()
    ...         optimizer.step()
    ...         norms = recording[""].hidden_gradient_norm
    ...         recording.clear()
    >>> norms.shape
    torch.Size([1, 7, 2])
    """
    if gradients not in (True, False, "norms"):
        raise ValueError(f"gradients must be True, False or 'norms', got {gradients!r}")
    layers, skipped = recurrent_layers(model)
    calls: dict[str, list[RecordedCall]] = {}
    watched = []
    for name, layer in layers.items():
        calls[name] = []
        watched.append((layer, _Recorder(calls[name], gates, gradients)))
    return observed(watched, Recording(calls, skipped))


class _Recorder(NativeObserver):
    """Puts every call of one layer into a list."""

    def __init__(self, calls: list[RecordedCall], gates: bool, gradients: bool | Literal["norms"]) -> None:
        self._calls, self.wants_values, self.wants_gradients = calls, gates, gradients

    def on_run(self, layer: RNNBase, run: Run) -> None:
        """See `Observer`."""
        self._calls.append(CompositeCall(layer, run, self.wants_values, bool(self.wants_gradients)))

    def on_native_run(self, layer: RNNBase, run: NativeRun, totals: TotalGradients | None) -> None:
        """See `NativeObserver`."""
        self._calls.append(NativeCall(layer, run, self.wants_values, totals))
