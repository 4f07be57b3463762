"""One recorded call of one layer, as its user reads it, and as the composite path leaves it.

Shapes: as in `trace.py`; L*D is layer, then direction, T steps, N sequences, H hidden units, P projection.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

from torch import Tensor
from torch.nn import RNNBase

from gatewise.nn.composite import Run
from gatewise.nn.recorded_gradients import NodeGradients, RecordedGradients
from gatewise.nn.trace import Trace, trace_of_composite


class RecordedCall(ABC):
    """One call of one layer.

    The gradients are total: autograd's gradients of the nodes h_t and c_t through everything that follows them. Like
    ``.grad``, they add up over the backward passes made, which must come one after the other. dL/dc_t includes the path
    of the same step through h_t = o * tanh(c_t). Positions past a sequence's end are 0.
    """

    @cached_property
    def trace(self) -> Trace:
        """The states and gates of the call, detached; made when it is first read.

        Raises
        ------
        RuntimeError
            If there is none, or if the layer's output was changed in place before. Writes through .data or numpy go
            unseen, as by autograd.
        """
        trace = self._make_trace()
        if trace is None:
            raise RuntimeError("this recording was made with gates=False and holds no trace")
        return trace

    @property
    def gates(self) -> dict[str, Tensor]:
        """Gates by name, (L*D, T, N, H), after the activation; {} for the RNN."""
        return self.trace.gates

    @property
    def hidden_gradient(self) -> Tensor:
        """dL/dh_t of shape (L*D, T, N, P)."""
        return self._require_gradients().hidden()

    @property
    def cell_gradient(self) -> Tensor | None:
        """dL/dc_t of shape (L*D, T, N, H); None for RNN and GRU."""
        return self._require_gradients().cell()

    @property
    def hidden_gradient_norm(self) -> Tensor:
        """Euclidean norm of dL/dh_t per sequence, (L*D, T, N), float64; a mean over the batch scales it by 1/N."""
        return self._require_gradients().hidden_norm()

    @property
    def cell_gradient_norm(self) -> Tensor | None:
        """Euclidean norm of dL/dc_t per sequence, (L*D, T, N), float64; None for RNN and GRU."""
        return self._require_gradients().cell_norm()

    def _require_gradients(self) -> RecordedGradients:
        gradients = self._read_gradients()
        if gradients is None:
            raise RuntimeError("this recording was made with gradients=False and holds none")
        return gradients

    @abstractmethod
    def _make_trace(self) -> Trace | None:
        """Return states and gates, None where they were not wanted."""

    @abstractmethod
    def _read_gradients(self) -> RecordedGradients | None:
        """Return what has come of gradients so far, None where they were not wanted."""


class CompositeCall(RecordedCall):
    """A call on the composite path."""

    def __init__(self, layer: RNNBase, run: Run, has_values: bool, has_gradients: bool) -> None:
        self._detached = trace_of_composite(layer, run).detach() if has_values else None
        self._gradients = NodeGradients(run) if has_gradients else None

    def _make_trace(self) -> Trace | None:
        return self._detached

    def _read_gradients(self) -> RecordedGradients | None:
        return self._gradients
