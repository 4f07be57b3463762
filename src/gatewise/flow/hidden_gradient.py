"""The gradient of a loss at every step's state, total and partial.

Shapes: L*D layers times directions, T steps, N sequences, H hidden units, P projection (P = H without one).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, RNNBase

from gatewise.cells import State
from gatewise.flow.adjoint import norm
from gatewise.flow.float64 import run_in_float64
from gatewise.flow.loss import scalar_loss
from gatewise.flow.steps import last_steps, lengths_of
from gatewise.nn.composite import Run
from gatewise.nn.ragged import valid_steps
from gatewise.nn.weights import num_directions


@dataclass(frozen=True)
class HiddenGradientNorms:
    """The gradients of one layer by step, apart: total, through all that follows; partial, from outside the layer.

    Attributes
    ----------
    hidden_gradient : Tensor of shape (L*D, T, N, P)
        Total dL/dh_t: through everything that follows h_t, the later steps included.
    cell_gradient : Tensor of shape (L*D, T, N, H) or None
        Total dL/dc_t, the path of the same step through h_t = o * tanh(c_t) included; None for RNN and GRU.
    output_gradient : Tensor of shape (L*D, T, N, P)
        Partial: dL/dy_t, what the loss (for a lower layer, the layer above) asks of this very step's output, without
        the way through later steps of the same layer; plus dL/dh_n at each sequence's last processed step.
    cell_output_gradient : Tensor of shape (L*D, T, N, H) or None
        Partial: dL/dc_n at each sequence's last processed step, 0 elsewhere, for nobody else sees the cell.
    lengths : Tensor of shape (N,), int64
        Steps of each sequence; all gradients are 0 past them.
    """

    hidden_gradient: Tensor
    cell_gradient: Tensor | None
    output_gradient: Tensor
    cell_output_gradient: Tensor | None
    lengths: Tensor

    @property
    def norms(self) -> Tensor:
        """Euclidean norm of the total dL/dh_t per sequence, (L*D, T, N)."""
        return norm(self.hidden_gradient)

    @property
    def cell_norms(self) -> Tensor | None:
        """Euclidean norm of the total dL/dc_t per sequence, (L*D, T, N); None for RNN and GRU."""
        return None if self.cell_gradient is None else norm(self.cell_gradient)

    @property
    def output_norms(self) -> Tensor:
        """Euclidean norm of the partial output_gradient per sequence, (L*D, T, N)."""
        return norm(self.output_gradient)

    @property
    def cell_output_norms(self) -> Tensor | None:
        """Euclidean norm of the partial cell_output_gradient per sequence, (L*D, T, N); None for RNN and GRU."""
        return None if self.cell_output_gradient is None else norm(self.cell_output_gradient)


def hidden_gradient_norms(
    model: Module, inputs: Any, loss_fn: Callable[[Any], Tensor]
) -> HiddenGradientNorms | dict[str, HiddenGradientNorms]:
    """Measure how much gradient reaches every step's state: ||dL/dh_t|| and ||dL/dc_t||, per sequence, not averaged.

    Total gradients, over all paths inside the model, in float64; the partial ones that enter from outside the layer
    stand beside them (`output_norms`).

    Parameters
    ----------
    model : torch.nn.Module
        Contains RNN, LSTM or GRU layers of torch.nn or gatewise. Measured on a float64 copy: parameters, their .grad
        and the random state stay as they are.
    inputs : Tensor, tuple or dict
        What the model is called with.
    loss_fn : callable
        Maps the model's output to a scalar; a mean over the batch scales every norm by 1/N.

    Returns
    -------
    HiddenGradientNorms, or dict by qualified name where the model holds several recurrent layers

    Raises
    ------
    ValueError
        If there is no recurrent layer, one is called more than once other than step by step through one sequence, or
        the loss is no scalar or has no gradient. A layer that the loss does not depend on has gradient zero.

    Notes
    -----
    Costs one forward pass on the composite path and one backward pass a layer. A layer that a model calls step by step,
    as decoders do, is measured over all its steps.

    References
    ----------
    Pascanu, Mikolov & Bengio (2013), arXiv:1211.5063, section 2

    Examples
    --------
    >>> import torch, gatewise as gw
    >>> layer = torch.nn.LSTM(3, 5)
    >>> measured = gw.flow.hidden_gradient_norms(layer, torch.randn(7, 2, 3), lambda output: output[0][-1].sum())
    >>> measured.norms.shape, measured.cell_norms.shape
    (torch.Size([1, 7, 2]), torch.Size([1, 7, 2]))
    >>> measured.output_norms[0, :, 0].count_nonzero().item()  # the loss itself reads the last step alone
    1
    """
    with run_in_float64(model, inputs) as double:
        loss = scalar_loss(loss_fn, double.output)
        results = {name: gradients_of(loss, layer, double.calls[name]) for name, (layer, _) in double.layers.items()}
    return next(iter(results.values())) if len(results) == 1 else results


def gradients_of(loss: Tensor, layer: RNNBase, calls: Sequence[Run]) -> HiddenGradientNorms:
    """Return the gradients of `loss` at the states of one layer, over the steps of all its `calls`."""
    totals, cell_totals = zip(*(_total(loss, run) for run in calls), strict=True)
    partials, cell_partials = zip(
        *(_partial(loss, layer, run, later) for run, later in zip_longest(calls, calls[1:])), strict=True
    )
    return HiddenGradientNorms(
        hidden_gradient=torch.cat(totals, dim=1),
        cell_gradient=_joined(cell_totals),
        output_gradient=torch.cat(partials, dim=1),
        cell_output_gradient=_joined(cell_partials),
        lengths=torch.stack([lengths_of(run) for run in calls]).sum(dim=0),
    )


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    there = [part for part in parts if part is not None]
    return torch.cat(there, dim=1) if there else None


def gradient(loss: Tensor, nodes: Sequence[Tensor]) -> list[Tensor]:
    """Return dL/dnode for each; zero where the loss does not depend on it or no graph was made."""
    asked = [node for node in nodes if node.requires_grad]
    found = iter(torch.autograd.grad(loss, asked, retain_graph=True, materialize_grads=True) if asked else ())
    return [next(found).detach() if node.requires_grad else torch.zeros_like(node) for node in nodes]


def _total(loss: Tensor, run: Run) -> tuple[Tensor, Tensor | None]:
    """Return dL/dh_t (L*D, T, N, P) and dL/dc_t of one call."""
    states = [state for row in run.directions for state in row.states]
    nodes = [state.hidden for state in states] + [state.cell for state in states if state.cell is not None]
    gradients = gradient(loss, nodes)
    hidden, cell = gradients[: len(states)], gradients[len(states) :]
    return _by_row(hidden, run), _by_row(cell, run) if cell else None


def _by_row(of_states: list[Tensor], run: Run) -> Tensor:
    """Stack L*D times T tensors (N, *) to (L*D, T, N, *)."""
    stacked = torch.stack(of_states)
    return stacked.view(len(run.directions), len(run.call.inputs), *stacked.shape[1:])


def _partial(loss: Tensor, layer: RNNBase, run: Run, later: Run | None) -> tuple[Tensor, Tensor | None]:
    """Return output_gradient and cell_output_gradient of one call.

    Where a `later` call goes on from its final state, the way through that one is left out: it is no output.
    """
    output = torch.stack(gradient(loss, [row.hidden for row in run.directions]))
    past_end = ~valid_steps(lengths_of(run), len(run.call.inputs)).unsqueeze(-1).to(output.device)
    output = output.masked_fill(past_end, 0)  # the loss may read padding; no state stands behind it
    final = _state_gradient(loss, run.final)
    if later is not None:
        onwards = _state_gradient(loss, later.call.initial)
        final = [whole - part for whole, part in zip(final, onwards, strict=True)]
    placed = [_at_last_step(part, layer, run) for part in final]
    return output + placed[0], placed[1] if len(placed) > 1 else None


def _state_gradient(loss: Tensor, state: State) -> list[Tensor]:
    return gradient(loss, [state.hidden] if state.cell is None else [state.hidden, state.cell])


def _at_last_step(final: Tensor, layer: RNNBase, run: Run) -> Tensor:
    """Put (L*D, N, *) at each sequence's last processed step of (L*D, T, N, *), 0 elsewhere."""
    placed = final.new_zeros(len(final), len(run.call.inputs), *final.shape[1:])
    lengths = lengths_of(run)
    there = (lengths > 0).nonzero().flatten()
    for index, row in enumerate(final):
        ends = last_steps(lengths, is_reverse=index % num_directions(layer) == 1)
        placed[index, ends[there], there] = row[there]
    return placed
