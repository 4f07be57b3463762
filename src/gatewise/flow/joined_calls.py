"""A layer that a model calls step by step, as decoders do: its calls joined into the one sequence that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import RNNBase

from gatewise.cells import State
from gatewise.nn.call import Call
from gatewise.nn.composite import DirectionRun, Run


def join_calls(name: str, layer: RNNBase, calls: Sequence[Run]) -> Run:
    """Return the run over all steps of calls that each start from the state in which the one before ended.

    Raises
    ------
    ValueError
        If the calls of `layer`, called `name`, do not make one sequence.
    """
    if len(calls) == 1:
        return calls[0]
    if not all(continues(layer, earlier.call, earlier.final, later.call) for earlier, later in pairwise(calls)):
        raise ValueError(
            f"layer {name!r} is called more than once in a forward pass, and not each time from the state in which the "
            "call before ended; measure a model that runs it over one sequence"
        )
    rows = [
        DirectionRun(
            states=[state for part in parts for state in part.states],
            gates=[gates for part in parts for gates in part.gates],
            hidden=torch.cat([part.hidden for part in parts]),
            final=parts[-1].final,
        )
        for parts in zip(*(call.directions for call in calls), strict=True)
    ]
    whole = replace(calls[0].call, data=torch.cat([run.call.inputs for run in calls]))
    return Run(whole, torch.cat([run.output for run in calls]), calls[-1].final, rows)


def continues(layer: RNNBase, earlier: Call, ended: State, later: Call) -> bool:
    """Whether `later` starts from the state in which `earlier` ended, forwards in time and without lengths."""
    if layer.bidirectional or earlier.lengths is not None or later.lengths is not None:
        return False
    if not _is_same(ended.hidden, later.initial.hidden):
        return False
    started = later.initial.cell
    return ended.cell is None or started is None or _is_same(ended.cell, started)


def _is_same(ended: Tensor, started: Tensor) -> bool:
    """Whether two states are equal, NaN to NaN."""
    return ended.shape == started.shape and bool(((ended == started) | (ended.isnan() & started.isnan())).all())
