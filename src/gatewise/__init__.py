"""Gatewise: RNN, LSTM and GRU with every gate, state and gradient in the open.

Nothing heavy is imported until a name is used (PEP 562), so that the command line can answer at once.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# public name -> (module, attribute); attribute None means the module itself
_PUBLIC = {
    "accelerate": ("gatewise.nn", "accelerate"),
    "cells": ("gatewise.cells", None),
    "flow": ("gatewise.flow", None),
    "load": ("gatewise.training", "load"),
    "nn": ("gatewise.nn", None),
    "record": ("gatewise.nn", "record"),
    "restore": ("gatewise.nn", "restore"),
    "selfcheck": ("gatewise.nn", "selfcheck"),
    "stream": ("gatewise.nn", "stream"),
    "tasks": ("gatewise.tasks", None),
}

__all__ = [
    "__version__",
    "accelerate",
    "cells",
    "flow",
    "load",
    "nn",
    "record",
    "restore",
    "selfcheck",
    "stream",
    "tasks",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'gatewise' has no attribute {name!r}")
    module_name, attribute = _PUBLIC[name]
    module = importlib.import_module(module_name)
    value = module if attribute is None else getattr(module, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
