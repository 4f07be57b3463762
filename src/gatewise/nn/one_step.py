"""One step of a cell: checked as torch.nn's cells check it, computed by the layers' machinery as a call with T = 1.

Shapes: N sequences, I inputs, H hidden units.
"""

from __future__ import annotations

from typing import Any, cast

from torch import _VF, Tensor
from torch.nn import RNNBase, RNNCellBase

from gatewise.cells import State
from gatewise.nn.call import Call
from gatewise.nn.form import form_of
from gatewise.nn.paths import Path, choose_path, run
from gatewise.nn.weights import named_weights


class RecurrentCell(RNNCellBase):
    """What the three cells share."""

    #: Which path the last call took, "native", "composite" or "torch"; None before the first.
    path: Path | None = None

    def __init__(
        self, mode: str, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device: Any, dtype: Any
    ) -> None:
        if hidden_size == 0:
            raise ValueError("hidden_size must be at least 1, got 0")
        super().__init__(input_size, hidden_size, bias, num_chunks, device, dtype)
        self.mode = mode  # the equations, under torch.nn.RNNBase's name for them

    def advance(self, inputs: Tensor, previous: State | None) -> State:
        """Check the arguments of a step and compute it.

        Parameters
        ----------
        inputs : Tensor
            x (N, I), or (I,) without a batch.
        previous : State or None
            h and, for the LSTM, c: (N, H) or (H,); None is zeros.

        Returns
        -------
        State
            The next one, in the form of the input.
        """
        name, is_batched = type(self).__name__, inputs.dim() == 2
        if inputs.dim() not in (1, 2):
            raise ValueError(f"{name}: Expected input to be 1D or 2D, got {inputs.dim()}D instead")
        if inputs.shape[-1] != self.input_size:
            expected = f"(N, {self.input_size})" if is_batched else f"({self.input_size},)"
            raise RuntimeError(f"{name}: Expected input of shape {expected}, got {tuple(inputs.shape)}")
        shape = (*inputs.shape[:-1], self.hidden_size)
        if previous is None:
            zeros = inputs.new_zeros(shape)
            previous = State(zeros, zeros if self.mode == "LSTM" else None)
        else:
            if previous.hidden is None or (previous.cell is None and self.mode == "LSTM"):
                raise RuntimeError(f"{name}: Expected both h and c to be tensors; pass no hx for zeros")
            _check_state(previous.hidden, shape, f"{name}: Expected h")
            if previous.cell is not None:
                _check_state(previous.cell, shape, f"{name}: Expected c")
        if is_batched:
            return _one_step(self, inputs, previous)
        batch_of_one = previous.map(lambda state: state.unsqueeze(0))
        return _one_step(self, inputs.unsqueeze(0), batch_of_one).map(lambda state: state.squeeze(0))


def _check_state(state: Tensor, shape: tuple[int, ...], expected: str) -> None:
    """Raise what torch.nn's cells raise for a state that is not of `shape`, and say which shape it should have."""
    if state.shape != shape:
        error = RuntimeError if state.dim() in (1, 2) else ValueError
        raise error(f"{expected} of shape {shape}, got {tuple(state.shape)}")


class _AsLayer:
    """A cell as the machinery sees it: a layer of one direction; it reads no other attributes than these."""

    num_layers, bidirectional, proj_size, dropout = 1, False, 0, 0.0

    def __init__(self, cell: RecurrentCell) -> None:
        self.mode = cell.mode
        self.input_size, self.hidden_size = cell.input_size, cell.hidden_size
        self.bias = cell.bias_ih is not None
        self._parameters = {
            "weight_ih_l0": cell.weight_ih,
            "weight_hh_l0": cell.weight_hh,
            "bias_ih_l0": cell.bias_ih,
            "bias_hh_l0": cell.bias_hh,
        }
        self.__dict__.update(self._parameters)


def _one_step(cell: RecurrentCell, inputs: Tensor, previous: State) -> State:
    """Compute one step for x (N, I) from states (N, H)."""
    layer = cast(RNNBase, _AsLayer(cell))
    given = previous.map(lambda state: state.unsqueeze(0))
    form = form_of(layer)
    weights = [named_weights(layer, form.weight_names[0])]
    call = Call(inputs.unsqueeze(0), given, form, weights, None, True, is_batch_first=False, packed=None)
    cell.path = choose_path(call)
    if cell.path != "torch":
        return run(cell.path, layer, call)[1].map(lambda state: state.squeeze(0))
    kernel = getattr(_VF, f"{cell.mode.lower()}_cell")
    hx = previous.hidden if previous.cell is None else (previous.hidden, previous.cell)
    biases = () if layer.bias else (None, None)
    new = kernel(inputs, hx, *call.weights[0], *biases)
    return State(new) if isinstance(new, Tensor) else State(*new)
