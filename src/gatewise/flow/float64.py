"""Measuring on a copy of the user's model, so that the model itself stays as it is.

The copy is in float64 where gradients are measured: in float32 they are exactly zero at lags that matter. On a copy
nothing happens to the parameters or their .grad.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, RNNBase
from torch.nn.utils.rnn import PackedSequence

from gatewise.flow.given import require_model
from gatewise.flow.joined_calls import join_calls
from gatewise.nn.composite import Run
from gatewise.nn.observe import Observer, observed, recurrent_layers


@dataclass(frozen=True)
class CopyRun:
    """What a copy of a model computed, with the graph of it."""

    model: Module  # the copy
    output: Any  # what it returned
    calls: dict[str, list[Run]]  # every recurrent layer's calls by qualified name, in the order of the first calls

    @property
    def layers(self) -> dict[str, tuple[RNNBase, Run]]:
        """Every recurrent layer that was called, with its calls joined into one sequence (see `join_calls`)."""
        named: dict[str, Any] = dict(self.model.named_modules())
        return {name: (named[name], join_calls(name, named[name], calls)) for name, calls in self.calls.items()}


def run_in_float64(model: Module, inputs: Any, *, needs_graph: bool = True) -> AbstractContextManager[CopyRun]:
    """Run a float64 copy of `model` with every recurrent layer watched; the random state is put back afterwards.

    Parameters
    ----------
    model : torch.nn.Module
    inputs : Tensor, tuple or dict
        What the model is called with: ``model(inputs)``, ``model(*inputs)`` or ``model(**inputs)``.
    needs_graph : bool, default True
        Whether gradients will be taken; without, states alone are kept.

    Raises
    ------
    ValueError
        If the model contains no recurrent layer that can be watched, or calls none.
    """
    return _run_copy(model, inputs, is_float64=True, needs_graph=needs_graph)


def run_in_own_precision(model: Module, inputs: Any) -> AbstractContextManager[CopyRun]:
    """Do the same in the model's own precision, where a value may overflow that float64 still holds."""
    return _run_copy(model, inputs, is_float64=False, needs_graph=True)


@contextmanager
def _run_copy(model: Module, inputs: Any, *, is_float64: bool, needs_graph: bool) -> Iterator[CopyRun]:
    require_model(model)
    calls: dict[str, list[Run]] = {}
    # Tensors made in inference mode can never take part in a gradient.
    with torch.inference_mode(False), torch.set_grad_enabled(needs_graph):
        copied = _copy(model)
        if is_float64:
            copied.double()
            _cast_inside(copied)
        layers, _ = recurrent_layers(copied)
        for layer in layers.values():
            layer.register_forward_pre_hook(_with_own_nodes, with_kwargs=True)
        watched = [(layer, _Collector(name, calls)) for name, layer in layers.items()]
        devices = sorted({p.device.index for p in copied.parameters() if p.device.type == "cuda"})
        with torch.random.fork_rng(devices=devices), observed(watched, None):
            output = _call(copied, to_float64(inputs) if is_float64 else _map_floating(_apart, inputs))
            if not calls:
                raise ValueError(f"the model called none of its recurrent layers: {', '.join(map(repr, layers))}")
            yield CopyRun(copied, output, calls)


@dataclass(frozen=True, eq=False)
class _Collector(Observer):
    """Keeps every call of one layer, with its nodes."""

    name: str
    calls: dict[str, list[Run]]

    def on_run(self, layer: RNNBase, run: Run) -> None:
        """See `Observer`."""
        self.calls.setdefault(self.name, []).append(run)


def _copy(model: Module) -> Module:
    """Return a copy in which every parameter asks for a gradient."""
    # torch copies no tensor that was computed from others, such as a state that the model keeps for its next call.
    kept = (tensor for module in model.modules() for tensor in _tensors(vars(module)) if not tensor.is_leaf)
    copied = copy.deepcopy(model, {id(tensor): _apart(tensor) for tensor in kept})
    for parameter in copied.parameters():
        parameter.data = parameter.data.clone()  # a parameter of inference mode becomes an ordinary one
        parameter.grad = None
        parameter.requires_grad_(parameter.is_floating_point())
    return copied


def _tensors(values: Any) -> Iterator[Tensor]:
    """Yield the tensors in values, also inside tuples, lists and dicts."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, (dict, tuple, list)):
        for value in values.values() if isinstance(values, dict) else values:
            yield from _tensors(value)


def _cast_inside(double: Module) -> None:
    """Let modules cast what reaches them to float64: a model may make float32 tensors inside."""
    for module in double.modules():
        if any(parameter.is_floating_point() for parameter in module.parameters(recurse=False)):
            module.register_forward_pre_hook(lambda _, args, kwargs: _cast(args, kwargs), with_kwargs=True)


def _cast(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Cast the floating-point arguments of a module to float64, within the graph."""
    return _map_floating(Tensor.double, arguments), _map_floating(Tensor.double, keywords)


def _with_own_nodes(
    _: Module, arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Give what a layer is called with nodes of its own: its gradient through this call and no other."""
    return _map_floating(_own_node, arguments), _map_floating(_own_node, keywords)


def _own_node(tensor: Tensor) -> Tensor:
    return tensor.view_as(tensor) if tensor.requires_grad else tensor.detach().requires_grad_(torch.is_grad_enabled())


def _apart(tensor: Tensor) -> Tensor:
    return tensor.detach().clone()


def to_float64(values: Any) -> Any:
    """Return floating-point tensors, also inside tuples, lists and dicts, in float64 and apart from any graph."""
    return _map_floating(lambda tensor: _apart(tensor.double()), values)


def _map_floating(function: Callable[[Tensor], Tensor], values: Any) -> Any:
    if isinstance(values, Tensor):
        return function(values) if values.is_floating_point() else values
    if isinstance(values, PackedSequence):
        return values._replace(data=_map_floating(function, values.data))
    if isinstance(values, dict):
        return {key: _map_floating(function, value) for key, value in values.items()}
    if isinstance(values, tuple) and hasattr(values, "_fields"):  # a named tuple
        return type(values)(*(_map_floating(function, value) for value in values))
    if isinstance(values, (tuple, list)):
        return type(values)(_map_floating(function, value) for value in values)
    return values


def _call(model: Module, inputs: Any) -> Any:
    if isinstance(inputs, dict):
        return model(**inputs)
    if isinstance(inputs, tuple) and not isinstance(inputs, PackedSequence):
        return model(*inputs)
    return model(inputs)
