"""Where a value first stopped being finite: parameter, input, gate, state, loss or gradient; at which step.

Shapes: L*D layers times directions, T steps, N sequences.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import Module, RNNBase

from gatewise.flow.hidden_gradient import gradient
from gatewise.flow.steps import lengths_of
from gatewise.nn.composite import Run
from gatewise.nn.ragged import valid_steps
from gatewise.nn.weights import num_directions, parameter_suffix

Kind = Literal["parameter", "input", "forward", "loss", "gradient", "parameter gradient"]


@dataclass(frozen=True)
class NonFinite:
    """The first value that is NaN or infinite.

    Attributes
    ----------
    kind : {"parameter", "input", "forward", "loss", "gradient", "parameter gradient"}
        In which part of the computation: what is named first is the cause of what is named later.
    quantity : str
        A parameter's qualified name, a gate's name, "hidden_state", "cell_state", "input", "output" (a gradient that
        comes from outside the layer) or "loss".
    value : {"NaN", "inf"}
    step, sequence : int or None
        Input position and index in the batch; for a gradient the first on its way back, that is the latest step.
    """

    kind: Kind
    quantity: str
    value: str
    step: int | None = None
    sequence: int | None = None

    def __str__(self) -> str:
        where = "" if self.step is None else f" at step {self.step} of sequence {self.sequence}"
        what = {
            "parameter": f"parameter {self.quantity}",
            "input": "the layer's input",
            "forward": f"the {self.quantity.replace('_', ' ')}",
            "loss": "the loss",
            "gradient": f"the gradient of the {self.quantity.replace('_', ' ')}",
            "parameter gradient": f"the gradient of parameter {self.quantity}",
        }[self.kind]
        return f"{self.value} in {what}{where}"


def value_name(values: Tensor) -> str:
    """Return "NaN" or "inf", whichever is there; NaN where both are."""
    return "NaN" if values.isnan().any() else "inf"


def bad_parameter(model: Module, prefix: str = "") -> NonFinite | None:
    """Return the first parameter, by qualified name, that is not finite."""
    for name, parameter in model.named_parameters(prefix):
        if not parameter.isfinite().all():
            return NonFinite("parameter", name, value_name(parameter))
    return None


def bad_in_row(name: str, layer: RNNBase, calls: Sequence[Run], index: int, loss: Tensor) -> NonFinite | None:
    """Return what first stopped being finite in row `index` of the layer called `name`, from cause to effect."""
    suffix = parameter_suffix(index, num_directions(layer))
    for own_name, parameter in layer.named_parameters():
        if own_name.removesuffix(suffix).endswith("_") and not parameter.isfinite().all():
            return NonFinite("parameter", f"{name}.{own_name}".lstrip("."), value_name(parameter))
    is_reverse = index % num_directions(layer) == 1
    first_step, forward, backward = 0, [], []
    for run in calls:
        valid = valid_steps(lengths_of(run), len(run.call.inputs))
        tensors = _forward_values(run, index)
        if index < num_directions(layer):
            found = _first({"input": run.call.inputs}, valid, first_step, is_backwards=is_reverse)
            forward += [NonFinite("input", *found)] if found else []
        found = _first(tensors, valid, first_step, is_backwards=is_reverse)
        forward += [NonFinite("forward", *found)] if found else []
        gradients = _gradient_values(run, index, loss)
        found = _first(gradients, valid, first_step, is_backwards=not is_reverse)
        backward += [NonFinite("gradient", *found)] if found else []
        first_step += len(run.call.inputs)
    return forward[0] if forward else backward[-1] if backward else None


def _forward_values(run: Run, index: int) -> dict[str, Tensor]:
    """Return gates, cell and hidden state of a row by name, (T, N, H), from cause to effect."""
    row = run.directions[index]
    gates = {name: torch.stack([gates[name] for gates in row.gates]) for name in row.gates[0]}
    cell = [state.cell for state in row.states if state.cell is not None]
    hidden = torch.stack([state.hidden for state in row.states])
    return {**gates, **({"cell_state": torch.stack(cell)} if cell else {}), "hidden_state": hidden}


def _gradient_values(run: Run, index: int, loss: Tensor) -> dict[str, Tensor]:
    """Return the gradients of output, states and gates of a row by name, (T, N, H), from cause to effect."""
    row = run.directions[index]
    nodes: dict[str, list[Tensor]] = {"hidden_state": [state.hidden for state in row.states]}
    cell = [state.cell for state in row.states if state.cell is not None]
    nodes.update({"cell_state": cell} if cell else {})
    nodes.update({name: [gates[name] for gates in row.gates] for name in row.gates[0]})
    found = iter(gradient(loss, [row.hidden, *(node for of_name in nodes.values() for node in of_name)]))
    return {
        "output": next(found),
        **{name: torch.stack([next(found) for _ in of_name]) for name, of_name in nodes.items()},
    }


def _first(
    tensors: dict[str, Tensor], valid: Tensor, first_step: int, *, is_backwards: bool
) -> tuple[str, str, int, int] | None:
    """Return name, value, step and sequence of the first entry that is not finite; at one step in the dict's order."""
    bad = torch.stack([~tensor.detach().isfinite().all(dim=-1).cpu() & valid for tensor in tensors.values()])
    steps = bad.any(dim=0).any(dim=-1).nonzero().flatten().tolist()
    if not steps:
        return None
    step = steps[-1] if is_backwards else steps[0]
    which, sequence = (int(part) for part in bad[:, step].nonzero()[0])
    name = list(tensors)[which]
    return name, value_name(tensors[name][step, sequence]), first_step + step, sequence


def bad_gradient(model: Module, gradients: Iterator[Tensor]) -> NonFinite | None:
    """Return the first parameter, by qualified name, whose gradient is not finite."""
    for (name, _), found in zip(model.named_parameters(), gradients, strict=True):
        if not found.isfinite().all():
            return NonFinite("parameter gradient", name, value_name(found))
    return None
