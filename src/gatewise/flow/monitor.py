"""The diagnosis during training: a verdict per layer every few steps, cheap enough to leave on.

Shapes: L*D layers times directions, K lags, T steps, N sequences.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

import torch
from torch import Tensor
from torch.nn import Module, RNNBase
from torch.nn import functional as F
from torch.nn.utils import get_total_norm

from gatewise.flow.lag_curve import HORIZON_FACTOR, GradientByLag, norms_at_lags, summarise
from gatewise.flow.replay import Seen, chains, replay_chain
from gatewise.flow.verdict import GROWTH_LIMIT, Flow, Thresholds, Verdict, flow_of, worst
from gatewise.flow.watch import StepWatch
from gatewise.nn.observe import recurrent_layers
from gatewise.nn.weights import given_weights, num_directions, parameter_suffix

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MonitoredLayer:
    """One layer at one training step.

    Attributes
    ----------
    norms : Tensor of shape (L*D, T)
        ||dL/dh_t||, total, mean over the sequences that reach step t.
    curve : GradientByLag
        From the last step that the loss reads, along the layer's own recurrence.
    flows : tuple of Flow
        Slope, growth and horizon of each of the L*D rows.
    verdicts : tuple of Verdict
        Of each row.
    """

    norms: Tensor
    curve: GradientByLag
    flows: tuple[Flow, ...]
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True)
class MonitorRecord:
    """What the monitor saw at one training step.

    Attributes
    ----------
    step : int
        Counted from 0.
    layers : dict of MonitoredLayer
        By qualified name; those that gradient reached.
    """

    step: int
    layers: dict[str, MonitoredLayer]
    _suffixes: dict[str, list[str]]

    @property
    def verdict(self) -> Verdict:
        """The worst of all layers."""
        return worst(verdict for layer in self.layers.values() for verdict in layer.verdicts)

    @property
    def scalars(self) -> dict[str, float]:
        """Numbers to plot, by name.

        For every layer and direction, under torch's suffix, such as ``encoder.gru/l0/horizon``: ``horizon`` (steps),
        ``slope``, ``gradient_norm_first`` and ``gradient_norm_last`` (of the first and the last position), ``verdict``
        (0 healthy, 1 vanishing, 2 exploding, 3 not finite).
        """
        named: dict[str, float] = {}
        for name, layer in self.layers.items():
            for index, suffix in enumerate(self._suffixes[name]):
                values = {
                    "horizon": layer.flows[index].horizon,
                    "slope": layer.flows[index].slope,
                    "gradient_norm_first": float(layer.norms[index, 0]),
                    "gradient_norm_last": float(layer.norms[index, -1]),
                    "verdict": float(layer.verdicts[index].severity),
                }
                named.update({f"{name or 'model'}/{suffix}/{key}": value for key, value in values.items()})
        return named


class Monitor:
    """Watch the gradient of every recurrent layer while a model trains, without touching the training.

    At every `every`-th training step the gradients of the layers' outputs and final states are taken from the user's
    own backward pass and carried back through each layer once more, on the native kernels where they apply. Results,
    gradients and random numbers of the training are bit for bit what they are without.

    Parameters
    ----------
    model : torch.nn.Module
        Contains RNN, LSTM or GRU layers of torch.nn or gatewise.
    every : int, default 50
        Steps 0, every, 2*every ... are recorded. A training step begins with the first forward pass in training mode
        after a backward pass: all forwards up to it belong to the step, forwards without a backward to none.
    callback : callable, optional
        Called with (step, scalars) after each record; see `MonitorRecord.scalars` for the names.
    needed_lag, growth_limit, horizon_factor : float, optional
        Thresholds, as in `diagnose`.
    max_sequences : int, default 8
        How many sequences of a batch are looked at, the first ones; all where dropout between layers draws its masks.

    Attributes
    ----------
    records : list of MonitorRecord
        One a recorded step, about 20 numbers a layer and time step each.

    Raises
    ------
    ValueError
        If `every` or `max_sequences` is below 1, a threshold makes no sense, or there is no recurrent layer.

    Notes
    -----
    A warning goes to the logger ``gatewise.flow.monitor`` the moment a verdict turns for the worse, and an information
    when it gets better. Where `diagnose` counts all paths inside the model in float64, the monitor counts the layer's
    own recurrence in the precision of its weights; for a layer that is not fed its own output these are the same paths.
    A loss scaled for mixed precision scales the norms, not horizon, slope and verdict.

    Costs some 30 us a layer at every training step, and at a recorded one about a forward and one or two backward
    passes of at most `max_sequences` sequences on the native kernels, at least 1.7 ms. At ``every=50`` that was 6 to
    7 % of training steps of 1 ms, 3 % of those of 3 ms and 1 to 2 % of those of 10 ms (one layer, one thread of a busy
    server; ``benchmarks/monitor.py``). For shorter steps take a larger `every`, or attach the monitor for single steps,
    so that those between cost nothing. Layers with proj_size and on other devices are replayed on the composite path,
    at several times the cost.

    References
    ----------
    Schneider, Dangel & Hennig (2021), Cockpit, arXiv:2102.06604 (quantities during training)

    Examples
    --------
    >>> import torch, gatewise as gw
    >>> model, x = torch.nn.GRU(3, 8), torch.randn(30, 4, 3)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> with gw.flow.Monitor(model, every=2) as monitor:
    ...     for _ in range(4):
    ...         optimizer.zero_grad()
    ...         model(x)[0][-1].square().sum().backward()
    ...         optimizer.step()
    >>> [record.step for record in monitor.records], monitor.records[-1].verdict
    ([0, 2], <Verdict.VANISHING: 'VANISHING'>)
    """

    def __init__(
        self,
        model: Module,
        every: int = 50,
        callback: Callable[[int, dict[str, float]], None] | None = None,
        needed_lag: float | None = None,
        growth_limit: float = GROWTH_LIMIT,
        horizon_factor: float = HORIZON_FACTOR,
        max_sequences: int = 8,
    ) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1 training step, got {every}")
        if max_sequences < 1:
            raise ValueError(f"max_sequences must be at least 1, got {max_sequences}")
        self.max_sequences = max_sequences
        self.thresholds = Thresholds(needed_lag, growth_limit, horizon_factor).check()
        self.callback = callback
        self.records: list[MonitorRecord] = []
        self._layers, _ = recurrent_layers(model)
        self._watch = StepWatch(self._layers, every, self._on_backward)
        self._verdicts: dict[str, Verdict] = {}

    def attach(self) -> Monitor:
        """Begin to watch; steps go on counting where they stopped."""
        self._watch.attach()
        return self

    def detach(self) -> None:
        """Stop watching; nothing of the monitor is left on the model."""
        self._watch.detach()

    def __enter__(self) -> Monitor:
        return self.attach()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.detach()

    def _on_backward(self, step: int, seen: dict[str, list[Seen]]) -> None:
        layers = {name: self._measure(self._layers[name], calls) for name, calls in seen.items()}
        suffixes = {
            name: [parameter_suffix(row, num_directions(self._layers[name])) for row in range(len(layer.flows))]
            for name, layer in layers.items()
        }
        record = MonitorRecord(step, layers, suffixes)
        self.records.append(record)
        self._report_turns(record)
        if self.callback is not None:
            self.callback(step, record.scalars)

    def _measure(self, layer: RNNBase, calls: list[Seen]) -> MonitoredLayer:
        """Replay all calls of one layer; those that are no chain stand beside each other like sequences of a batch."""
        of_layer = chains(layer, [call.first_sequences(self.max_sequences) for call in calls])
        found = [replay_chain(layer, chain) for chain in of_layer]
        lags = torch.arange(max(replayed.norms.shape[1] for replayed in found))
        directions = num_directions(layer)
        lengths = torch.cat([_lengths(chain) for chain in of_layer])
        norms = torch.cat([_padded(replayed.norms, len(lags)) for replayed in found], dim=-1)
        sent_back = torch.cat([_padded(replayed.sent_back, len(lags)) for replayed in found], dim=-1)
        ends = torch.cat([replayed.ends for replayed in found], dim=-1)
        is_finite = torch.stack([replayed.is_finite for replayed in found]).all(dim=0)
        is_finite &= all(bool(call.ended.hidden.isfinite().all()) for call in calls)
        rows = [
            norms_at_lags(sent_back[index], ends[index], lengths, lags, is_reverse=index % directions == 1)
            for index in range(len(ends))
        ]
        at_lags, is_inside = (torch.stack(parts) for parts in zip(*rows, strict=True))
        curve = summarise(lags, at_lags, is_inside, self.thresholds.horizon_factor)
        flows = tuple(flow_of(curve, index, int(lengths.max()), self.thresholds) for index in range(len(ends)))
        verdicts = tuple(
            flow.verdict(self.thresholds) if is_finite[index] and _is_finite(layer, index) else
            Verdict.NON_FINITE
            for index, flow in enumerate(flows)
        )  # fmt: skip
        counts = (lags.unsqueeze(1) < lengths).sum(dim=1)
        return MonitoredLayer(norms.sum(dim=-1) / counts, curve, flows, verdicts)

    def _report_turns(self, record: MonitorRecord) -> None:
        """Log every verdict that is not what it was; a first one that is healthy is no news."""
        for name, layer in record.layers.items():
            for suffix, flow, verdict in zip(record._suffixes[name], layer.flows, layer.verdicts, strict=True):
                key = f"{name or 'model'} {suffix}"
                before = self._verdicts.get(key, Verdict.HEALTHY)
                self._verdicts[key] = verdict
                if verdict is before:
                    continue
                level = logging.WARNING if verdict.severity > before.severity else logging.INFO
                logger.log(level, "training step %d: %s turned from %s to %s: %s", record.step, key, before, verdict,
                           _in_words(flow, verdict))  # fmt: skip


def _in_words(flow: Flow, verdict: Verdict) -> str:
    if verdict is Verdict.NON_FINITE:
        return "a weight, state or gradient is NaN or infinite; gw.flow.diagnose on this batch says where"
    return (
        f"horizon {flow.horizon:g} of {flow.longest_lag} steps, needed {flow.needed_lag:g}; slope {flow.slope:.3g} a "
        f"step, growth {flow.growth:.3g}"
    )


def _is_finite(layer: RNNBase, index: int) -> bool:
    """Whether the row's weights and their gradients, to which every step of every sequence adds, are finite."""
    weights = given_weights(layer, index)
    tensors = [weight.detach() for weight in weights]
    tensors += [weight.grad.detach() for weight in weights if weight.grad is not None]
    return bool(get_total_norm(tensors, torch.inf).isfinite())  # the largest entry, NaN where there is one


def _lengths(chain: list[Seen]) -> Tensor:
    """Return the steps of each sequence (N,) over a chain, whose calls have no lengths if there are several."""
    if chain[0].call.lengths is not None:
        return chain[0].call.lengths
    num_steps = sum(len(seen.call.inputs) for seen in chain)
    return torch.full((chain[0].call.inputs.shape[1],), num_steps)


def _padded(norms: Tensor, num_steps: int) -> Tensor:
    """Lengthen (L*D, T, N) to `num_steps` with zeros."""
    if norms.shape[1] == num_steps:
        return norms
    return F.pad(norms, (0, 0, 0, num_steps - norms.shape[1]))
