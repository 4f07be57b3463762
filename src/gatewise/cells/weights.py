"""The parameters of one layer and direction. G gate blocks, H hidden units, I inputs, P projection (P = H without)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Weights:
    """The parameters of one layer and direction, under torch.nn's meaning and gate order."""

    input: Tensor  # weight_ih (G*H, I)
    recurrent: Tensor  # weight_hh (G*H, P)
    input_bias: Tensor | None = None  # bias_ih (G*H,)
    recurrent_bias: Tensor | None = None  # bias_hh (G*H,)
    projection: Tensor | None = None  # weight_hr (P, H)

    @property
    def hidden_size(self) -> int:
        """H: units of the gates and of the cell state, before any projection."""
        return self.recurrent.shape[1] if self.projection is None else self.projection.shape[1]

    def map(self, function: Callable[[Tensor], Tensor]) -> Weights:
        """Return the weights with `function` applied to each that is there."""
        values = (self.input, self.recurrent, self.input_bias, self.recurrent_bias, self.projection)
        return Weights(*(None if value is None else function(value) for value in values))  # type: ignore[arg-type]
