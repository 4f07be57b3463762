"""An observer that wants every node, which forces the composite path."""

from __future__ import annotations

from torch.nn import RNNBase

from gatewise.nn.composite import Run
from gatewise.nn.recorded_gradients import NodeGradients


class NodeObserver:
    """Collects the gradients at the nodes of each call."""

    on_native = None

    def __init__(self, seen: list[NodeGradients]) -> None:
        self.seen = seen

    def on_run(self, layer: RNNBase, run: Run) -> None:
        self.seen.append(NodeGradients(run))
