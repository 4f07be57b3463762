"""Measuring on a float64 copy of the user's model, so that the model itself stays as it is.

float32 gradients are exactly zero at lags that matter; on a copy nothing happens to the parameters or their .grad.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, RNNBase
from torch.nn.utils.rnn import PackedSequence

from gatewise.nn.composite import Run
from gatewise.nn.observe import observed, recurrent_layers


@dataclass(frozen=True)
class Float64Run:
    """What a float64 copy of a model computed."""

    output: Any  # what the model returned
    layers: dict[str, tuple[RNNBase, Run]]  # every recurrent layer by qualified name, with its only call


@contextmanager
def run_in_float64(model: Module, inputs: Any) -> Iterator[Float64Run]:
    """Run a float64 copy of `model` with every recurrent layer watched; the random state is put back afterwards.

    Parameters
    ----------
    model : torch.nn.Module
    inputs : Tensor, tuple or dict
        What the model is called with: ``model(inputs)``, ``model(*inputs)`` or ``model(**inputs)``.

    Raises
    ------
    ValueError
        If no recurrent layer can be watched, or one is called several times.
    """
    runs: dict[str, tuple[RNNBase, Run]] = {}

    def on_run(name: str, layer: RNNBase, run: Run) -> None:
        if name in runs:
            raise ValueError(
                f"layer {name!r} is called more than once in a forward pass; only single calls are measured"
            )
        runs[name] = (layer, run)

    # Tensors made in inference mode can never take part in a gradient.
    with torch.inference_mode(False), torch.enable_grad():
        double = _double_copy(model)
        layers, _ = recurrent_layers(double)
        devices = sorted(
            {parameter.device.index for parameter in double.parameters() if parameter.device.type == "cuda"}
        )
        with torch.random.fork_rng(devices=devices), observed(layers, on_run):
            yield Float64Run(_call(double, to_float64(inputs)), runs)


def _double_copy(model: Module) -> Module:
    """Return a float64 copy whose modules cast what reaches them: a model may make float32 tensors inside."""
    double = copy.deepcopy(model).double()
    for parameter in double.parameters():
        parameter.data = parameter.data.clone()  # a parameter of inference mode becomes an ordinary one
        parameter.requires_grad_(True)
    for module in double.modules():
        if any(parameter.is_floating_point() for parameter in module.parameters(recurse=False)):
            module.register_forward_pre_hook(lambda _, args, kwargs: _cast(args, kwargs), with_kwargs=True)
    return double


def _cast(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Cast the floating-point arguments of a module to float64, within the graph."""
    return _map_floating(Tensor.double, arguments), _map_floating(Tensor.double, keywords)


def to_float64(values: Any) -> Any:
    """Return floating-point tensors, also inside tuples, lists and dicts, in float64 and apart from any graph."""
    return _map_floating(lambda tensor: tensor.detach().double().clone(), values)


def _map_floating(function: Callable[[Tensor], Tensor], values: Any) -> Any:
    if isinstance(values, Tensor):
        return function(values) if values.is_floating_point() else values
    if isinstance(values, PackedSequence):
        return values._replace(data=_map_floating(function, values.data))
    if isinstance(values, dict):
        return {key: _map_floating(function, value) for key, value in values.items()}
    if isinstance(values, (tuple, list)):
        return type(values)(_map_floating(function, value) for value in values)
    return values


def _call(model: Module, inputs: Any) -> Any:
    if isinstance(inputs, dict):
        return model(**inputs)
    if isinstance(inputs, tuple) and not isinstance(inputs, PackedSequence):
        return model(*inputs)
    return model(inputs)
