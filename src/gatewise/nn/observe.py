"""Watching every recurrent layer inside a model while it runs, torch's layers and ours alike."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import Module, RNNBase

from gatewise.nn.call import hand_back, read_call
from gatewise.nn.composite import Run, run_composite
from gatewise.nn.layers import RecurrentLayer

OnRun = Callable[[str, RNNBase, Run], None]

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


@contextmanager
def observed(layers: dict[str, RNNBase], on_run: OnRun) -> Iterator[None]:
    """Let `layers` compute on the composite path while the context lasts, and hand each run to `on_run`.

    The layers' `forward` is replaced on the instances alone and put back on exit, whatever happens inside.
    """
    before = {name: layer.__dict__.get("forward") for name, layer in layers.items()}
    for name, layer in layers.items():
        layer.__dict__["forward"] = _observing_forward(name, layer, on_run)
    try:
        yield
    finally:
        for name, layer in layers.items():
            del layer.__dict__["forward"]
            if before[name] is not None:
                layer.__dict__["forward"] = before[name]


def _observing_forward(name: str, layer: RNNBase, on_run: OnRun) -> Callable[..., Any]:
    signature = inspect.signature(type(layer).forward)

    def forward(*arguments: Any, **keywords: Any) -> Any:
        given = signature.bind(layer, *arguments, **keywords).arguments
        call = read_call(layer, given["input"], given.get("hx"), given.get("lengths"))
        run = run_composite(layer, call)
        if isinstance(layer, RecurrentLayer):
            layer.path = "composite"
        on_run(name, layer, run)
        return hand_back(call, run.output, run.final)

    return forward
