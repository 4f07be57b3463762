"""Watching every recurrent layer inside a model while it runs, torch's layers and ours alike."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache
from threading import RLock
from types import MethodType, TracebackType
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from torch.nn import Module, RNNBase

from gatewise.nn.call import Call, hand_back, read_given_call
from gatewise.nn.composite import Run, run_composite
from gatewise.nn.layers import RecurrentLayer
from gatewise.nn.native import NativeRun, TotalGradients, Tracing, run_native
from gatewise.nn.paths import choose_path
from gatewise.nn.weights import num_directions

Target = TypeVar("Target")


class Observer:
    """Somebody who watches one layer; compared by identity.

    Unless it is a `NativeObserver` it needs every node, and with it the composite path.
    """

    def on_run(self, layer: RNNBase, run: Run) -> None:
        """Take a call of the composite path."""
        raise NotImplementedError


class NativeObserver(Observer):
    """An observer who can do with what the native path hands out."""

    wants_values: bool  # gates and cell states
    wants_gradients: bool | Literal["norms"]  # total ones

    def on_native_run(self, layer: RNNBase, run: NativeRun, totals: TotalGradients | None) -> None:
        """Take a call of the native path, and where its backward will put the total gradients."""
        raise NotImplementedError


class _Watch(NamedTuple):
    """Who watches a layer; a call under way keeps the one that it began with."""

    observers: tuple[Observer, ...]
    native: tuple[NativeObserver, ...] | None  # the same; None if one of them needs the composite path

    @classmethod
    def by(cls, observers: Sequence[Observer]) -> _Watch:
        native = [observer for observer in observers if isinstance(observer, NativeObserver)]
        return cls(tuple(observers), tuple(native) if len(native) == len(observers) else None)


_NOBODY = _Watch((), ())


_lock = RLock()  # of who watches what; the collector may end a recording while another begins
_KNOWN_FORWARDS = (torch.nn.RNN.forward, torch.nn.LSTM.forward, torch.nn.GRU.forward, RecurrentLayer.forward)


def recurrent_layers(model: Module) -> tuple[dict[str, RNNBase], dict[str, str]]:
    """Return the recurrent layers of `model` by qualified name, and those that cannot be watched with the reason.

    Raises
    ------
    ValueError
        If there is none that can be watched.
    """
    watched: dict[str, RNNBase] = {}
    skipped: dict[str, str] = {}
    for name, module in model.named_modules():
        if not isinstance(module, RNNBase):
            continue
        if type(module).forward in _KNOWN_FORWARDS:
            watched[name] = module
        else:
            skipped[name] = f"{type(module).__name__} overrides forward, so its equations are unknown"
    if not watched:
        reasons = "".join(f"; {name!r}: {reason}" for name, reason in skipped.items())
        raise ValueError(f"the model contains no torch.nn or gatewise RNN, LSTM or GRU layer to watch{reasons}")
    return watched, skipped


class observed(AbstractContextManager[Target]):  # noqa: N801 - reads as a function; a generator takes twice as long
    """Let each observer watch every call of its layer while the context lasts, which gives `target`.

    A call goes to the native path where it fits and all who watch can do with it, and else to the composite path.

    The layers' `forward` is replaced on the instances alone and comes back with the last context that watches the
    layer, whatever happens inside. Contexts may be nested or overlap, and calls may come from several threads.
    """

    def __init__(self, watched: Sequence[tuple[RNNBase, Observer]], target: Target) -> None:
        self._watched = watched
        self._target = target
        self._was_entered = False

    def __enter__(self) -> Target:
        if self._was_entered:
            raise RuntimeError("a recording can be entered once; call record again for another")
        self._was_entered = True
        for layer, observer in self._watched:
            with _lock:
                forward = layer.__dict__.get("forward")
                if not isinstance(forward, _ObservedForward):
                    # A compiled graph hands out results alone. Importing Dynamo takes a second.
                    kind = _ForwardOutsideGraphs if "torch._dynamo" in sys.modules else _ObservedForward
                    forward = kind(layer, forward)
                forward.watch = _Watch.by([*forward.watch.observers, observer])
                layer.__dict__["forward"] = forward  # last: a collection may have ended another recording meanwhile
        return self._target

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for layer, observer in self._watched:
            with _lock:
                forward = layer.__dict__.get("forward")
                if not isinstance(forward, _ObservedForward) or observer not in forward.watch.observers:
                    continue  # somebody has put another one there, which stays
                others = [other for other in forward.watch.observers if other is not observer]
                forward.watch = _Watch.by(others) if others else _NOBODY
                if others:
                    continue
                if forward.forward_before is None:
                    del layer.__dict__["forward"]
                else:
                    layer.__dict__["forward"] = forward.forward_before


class _ObservedForward:
    """What stands in for a layer's `forward` while it is watched."""

    def __init__(self, layer: RNNBase, forward_before: Callable[..., Any] | None) -> None:
        self.layer = layer
        self.watch = _NOBODY
        self.forward_before = forward_before

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        layer, watch = self.layer, self.watch
        call = read_given_call(layer, arguments, keywords)
        native = None if watch.native is None or choose_path(call) != "native" else watch.native
        if isinstance(layer, RecurrentLayer):
            layer.__dict__["path"] = "composite" if native is None else "native"  # as in `RecurrentLayer.forward`
        if torch.is_grad_enabled() and not (native is not None and _reaches_every_state(layer, call)):
            call = _with_differentiable_start(call)
        run = _run_composite(layer, call, watch.observers) if native is None else _run_native(layer, call, native)
        return hand_back(call, run.output, run.final)

    def __reduce__(self) -> tuple[Any, ...]:
        """Give a pickled layer its own forward, as `__deepcopy__`."""
        return getattr, (self.layer, "forward")

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Give the copy of a watched layer its own forward: the watch does not travel."""
        copied = memo.get(id(self.layer))
        return self if copied is None else MethodType(type(copied).forward, copied)


class _ForwardOutsideGraphs(_ObservedForward):
    """The same, where somebody may compile the model."""

    def __init__(self, layer: RNNBase, forward_before: Callable[..., Any] | None) -> None:
        super().__init__(layer, forward_before)
        self._call = _call_outside_graphs()

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._call(self, *arguments, **keywords)


@cache
def _call_outside_graphs() -> Callable[..., Any]:
    disabled: Callable[..., Any] = torch.compiler.disable(_ObservedForward.__call__)  # type: ignore[no-untyped-call]
    return disabled


def _run_native(layer: RNNBase, call: Call, observers: tuple[NativeObserver, ...]) -> NativeRun:
    tracing: Tracing = "none"
    begun: list[tuple[NativeObserver, TotalGradients | None]] = []
    totals: list[TotalGradients] = []
    for observer in observers:
        total = None
        if observer.wants_gradients:
            total = TotalGradients(call.form.num_rows, are_norms_only=observer.wants_gradients == "norms")
            totals.append(total)
        begun.append((observer, total))
        if observer.wants_values:
            tracing = "values"
    run = run_native(layer, call, tracing=tracing, totals=totals)
    for observer, total in begun:
        observer.on_native_run(layer, run, total)
    return run


def _run_composite(layer: RNNBase, call: Call, observers: tuple[Observer, ...]) -> Run:
    run = run_composite(layer, call)
    for observer in observers:
        observer.on_run(layer, run)
    return run


def _reaches_every_state(layer: RNNBase, call: Call) -> bool:
    """Whether every state depends on something that needs a gradient, from the first step of the first layer on.

    A projection does not count: c_t of the first step does not depend on it.
    """
    if call.data.requires_grad:
        return True
    num_before_states = 4 if layer.bias else 2
    return all(
        True in [weight.requires_grad for weight in row[:num_before_states]]
        for row in call.weights[: num_directions(layer)]
    )


def _with_differentiable_start(call: Call) -> Call:
    """Let the initial states require grad, so that every state has a gradient even where all parameters are frozen."""
    return replace(
        call, given=call.initial.map(lambda state: state if state.requires_grad else state.detach().requires_grad_())
    )
