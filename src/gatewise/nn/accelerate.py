"""Swapping torch.nn's recurrent layers for ours inside any model, in place, and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import Module, RNNBase, RNNCellBase
from torch.nn.utils import parametrize

from gatewise.nn.layers import GRU, LSTM, RNN, RecurrentLayer
from gatewise.nn.one_step import RecurrentCell

_OURS: dict[type[RNNBase], type[RecurrentLayer]] = {nn.RNN: RNN, nn.LSTM: LSTM, nn.GRU: GRU}
_THEIRS = {ours: theirs for theirs, ours in _OURS.items()}
_CELLS = (nn.RNNCell, nn.LSTMCell, nn.GRUCell)
_NAMES = {kind.__name__ for kind in (*_OURS, *_CELLS)}

_MARK = "_is_accelerated"  # on the instance, so that it goes where the layer goes: into copies and pickles


@dataclass(frozen=True)
class Swap:
    """What `accelerate` or `restore` did.

    Attributes
    ----------
    swapped : tuple of str
        Qualified names of the layers that changed their class; "" is the model itself.
    skipped : dict of str to str
        The other recurrent modules, with the reason.
    """

    swapped: tuple[str, ...]
    skipped: dict[str, str]

    def __str__(self) -> str:
        """One line for what was swapped and one for each module that was not."""
        names = ", ".join(_readable(name) for name in self.swapped)
        lines = [f"swapped {len(self.swapped)}: {names}" if names else "swapped nothing"]
        lines += [f"skipped {_readable(name)}: {reason}" for name, reason in self.skipped.items()]
        return "\n".join(lines)


def _readable(name: str) -> str:
    return name or "the model itself"


def accelerate(model: Module) -> Swap:
    """Let every torch.nn.RNN, LSTM and GRU inside `model` compute as gatewise's layer of the same name.

    Only the class of these modules changes. The objects, their parameters, buffers, hooks, state_dict and an optimizer
    that holds the parameters stay as they are; results agree to rounding.

    Parameters
    ----------
    model : torch.nn.Module
        Any model, wrapped or compiled ones included; it may be a recurrent layer itself.

    Returns
    -------
    Swap
        Names of the layers swapped, and of the recurrent modules skipped with the reason. A module that is reached by
        several names is listed under the first, as ``model.named_modules()`` does.

    Raises
    ------
    TypeError
        If `model` is not a module.

    Notes
    -----
    Swapped are instances of exactly these three classes, with plain weights: not subclasses, parametrized,
    weight-normed, quantized or scripted layers, since their own code would be lost, and not the cells, since one step
    at a time torch's are the faster ones. Afterwards ``isinstance(layer, torch.nn.LSTM)`` is False and
    ``isinstance(layer, torch.nn.RNNBase)`` True. A copy or pickle of the model is accelerated as well; to read the
    pickle, gatewise must be installed. Calling it again does nothing. `restore` undoes it.

    Examples
    --------
    >>> import torch, gatewise as gw
    >>> model = torch.nn.ModuleDict({"encoder": torch.nn.LSTM(3, 5), "cell": torch.nn.GRUCell(5, 5)})
    >>> print(gw.accelerate(model))
    swapped 1: encoder
    skipped cell: GRUCell takes one step at a time, where torch's own is the faster one
    >>> type(model["encoder"])
    <class 'gatewise.nn.layers.LSTM'>
    >>> gw.restore(model).swapped
    ('encoder',)
    """
    swapped: list[str] = []
    skipped: dict[str, str] = {}
    for name, module in _named_modules(model):
        obstacle = _obstacle(module)
        if obstacle is not None:
            skipped[name] = obstacle
        elif isinstance(module, RNNBase):
            module.__dict__[_MARK] = True
            _become(module, _OURS[type(module)])
            swapped.append(name)
    return Swap(tuple(swapped), skipped)


def restore(model: Module) -> Swap:
    """Undo `accelerate`: the layers that it swapped are torch.nn's again, with the parameters that they have now.

    Parameters
    ----------
    model : torch.nn.Module
        A model that `accelerate` was called on, or a part, a copy or an unpickled one of it.

    Returns
    -------
    Swap
        Names of the layers swapped back; skipped are gatewise layers that `accelerate` did not make.

    Raises
    ------
    TypeError
        If `model` is not a module.

    Examples
    --------
    >>> import torch, gatewise as gw
    >>> layer = torch.nn.GRU(3, 5)
    >>> print(gw.accelerate(layer))
    swapped 1: the model itself
    >>> print(gw.restore(layer))
    swapped 1: the model itself
    >>> type(layer) is torch.nn.GRU
    True
    """
    swapped: list[str] = []
    skipped: dict[str, str] = {}
    for name, module in _named_modules(model):
        if not isinstance(module, RecurrentLayer):
            continue
        if _MARK not in module.__dict__:
            skipped[name] = f"was made as gatewise.nn.{type(module).__name__}, not by accelerate"
        elif type(module) not in _THEIRS:
            skipped[name] = f"{type(module).__name__} was made from the layer since; undo that first"
        else:
            _become(module, _THEIRS[type(module)])
            for attribute in (_MARK, "path"):
                module.__dict__.pop(attribute, None)
            swapped.append(name)
    return Swap(tuple(swapped), skipped)


def _named_modules(model: Module) -> Iterator[tuple[str, Module]]:
    if not isinstance(model, Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    yield from model.named_modules()


def _become(module: Module, kind: type[Module]) -> None:
    module.__class__ = kind


def _obstacle(module: Module) -> str | None:
    """Return why a recurrent module cannot be swapped; None for one that can, and for all other modules."""
    kind = type(module)
    if kind in _OURS and isinstance(module, RNNBase):
        return _obstacle_on_instance(module)
    if isinstance(module, torch.jit.ScriptModule):
        name = str(module.original_name)
        return f"{name} was compiled by torch.jit" if name in _NAMES else None
    if kind.__module__.startswith("torch.ao.nn."):
        return f"{kind.__name__} is quantized" if kind.__name__ in _NAMES else None
    if isinstance(module, RecurrentLayer | RecurrentCell):
        return f"{kind.__name__} is gatewise's already"
    if kind in _CELLS:
        return f"{kind.__name__} takes one step at a time, where torch's own is the faster one"
    if not isinstance(module, RNNBase | RNNCellBase):
        return None
    if parametrize.is_parametrized(module):
        return f"{kind.__name__} has parametrized weights"
    return f"{kind.__name__} has code of its own, which would be lost"


def _obstacle_on_instance(module: RNNBase) -> str | None:
    """Return what an instance of torch.nn.RNN, LSTM or GRU carries that ours would not honour."""
    computed = [name for name in module._flat_weights_names if name not in module._parameters]
    if computed:
        return f"a hook computes {', '.join(computed)} (weight norm, spectral norm, pruning)"
    if "forward" in module.__dict__:
        return "its forward was replaced on the instance"
    if hasattr(module, "path"):
        return "it has an attribute 'path' of its own, which ours would overwrite"
    return None
