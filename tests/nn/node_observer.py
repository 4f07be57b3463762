"""An observer that wants every node, which forces the composite path."""

from __future__ import annotations

from torch.nn import RNNBase

from gatewise.nn.composite import Run
from gatewise.nn.observe import Observer
from gatewise.nn.recorded_gradients import NodeGradients


class NodeObserver(Observer):
    """Collects the gradients at the nodes of each call."""

    def __init__(self, seen: list[NodeGradients]) -> None:
        self.seen = seen

    def on_run(self, layer: RNNBase, run: Run) -> None:
        self.seen.append(NodeGradients(run))
