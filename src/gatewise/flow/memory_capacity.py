"""How much of earlier inputs can be read off the state by a straight line.

Shapes: L*D layers times directions, K lags, T steps, N sequences, I inputs, P state size, S samples.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import RNNBase

from gatewise.flow.float64 import run_in_float64
from gatewise.flow.given import require_recurrent, require_sequences, whole_number
from gatewise.flow.ridge import Ridge, Split
from gatewise.flow.steps import lengths_of
from gatewise.nn.composite import Run
from gatewise.nn.weights import num_directions

NUM_SHUFFLES, SHUFFLE_SEED = 19, 0
# Shares of the steps, in the order of time, that fit the weights and that choose the strength; the rest is held out.
FIT, CHOOSE = 0.6, 0.2
MIN_STEPS = 10


@dataclass(frozen=True)
class MemoryCapacity:
    """What a linear readout of h_t knows of x_{t-k}, per layer and direction (L*D) and lag (K).

    Attributes
    ----------
    lags : Tensor of shape (K,), int64
        k = 0 ... max_lag, in steps; lag 0 is the present input.
    r_squared : Tensor of shape (L*D, K)
        On held-out steps, from 0 (nothing) to 1 (all of it); 0 where the regression does worse than the mean.
    shuffled : Tensor of shape (L*D,)
        The largest R^2 of 19 regressions on inputs in random order: an unrelated lag lies above it once in twenty.
    """

    lags: Tensor
    r_squared: Tensor
    shuffled: Tensor

    @property
    def total(self) -> Tensor:
        """Sum of r_squared over the lags, (L*D,), in steps."""
        return self.r_squared.sum(dim=1)


def memory_capacity(layer: RNNBase, inputs: Any, max_lag: int) -> MemoryCapacity:
    """Measure linear memory capacity: R^2 of a ridge regression from h_t to x_{t-k} on held-out steps, per lag k.

    Parameters
    ----------
    layer : torch.nn or gatewise RNN, LSTM or GRU
        Run on a float64 copy in evaluation mode; neither the layer nor the random state changes.
    inputs : Tensor, PackedSequence or tuple
        What the layer is called with, such as x (T, N, I) or ``(x, hx, lengths)``. Independent random inputs give the
        classical capacity; inputs that predict each other raise R^2 at lags that the state need not hold. Sequences
        must not overlap, as windows of one series do: held-out steps of one would be fitted steps of the next.
    max_lag : int
        Largest k, at least 0. Only steps that have all lags before them take part, so that every lag is judged on the
        same ones: at least 10 of them are needed, some hundreds for a stable number.

    Returns
    -------
    MemoryCapacity
        R^2 pools the I components of the input. For the reverse direction x_{t-k} is the input k positions later.

    Raises
    ------
    TypeError
        If `layer` is no recurrent layer.
    ValueError
        If max_lag is negative or leaves fewer than 10 steps.

    Notes
    -----
    The last fifth of the steps, in the order in which the direction runs, is held out. The ridge strength is chosen per
    lag on the fifth before it, the weights are fitted on the rest. With independent inputs the total is at most P
    (Jaeger 2001), beside the noise of finite samples. Costs one forward pass on the composite path, one
    eigendecomposition a row, and per lag O(S P I).

    References
    ----------
    Jaeger (2001), Short term memory in echo state networks, GMD Report 152, doi:10.24406/publica-fhg-291107
    Dambre, Verstraeten, Schrauwen & Massar (2012), doi:10.1038/srep00514 (the level that chance reaches)

    Examples
    --------
    >>> import torch, gatewise as gw
    >>> measured = gw.flow.memory_capacity(torch.nn.RNN(1, 8), torch.rand(400, 1, 1), max_lag=20)
    >>> measured.r_squared.shape, bool(measured.r_squared[0, 0] > 0.9)
    (torch.Size([1, 21]), True)
    """
    require_recurrent(layer)
    max_lag = whole_number("max_lag", max_lag)
    if max_lag < 0:
        raise ValueError(f"max_lag must be at least 0, got {max_lag}")
    with run_in_float64(copy.deepcopy(layer).eval(), inputs, needs_graph=False) as double:
        (run,) = double.calls[""]
    require_sequences(run.call.inputs.shape[1])
    if not run.output.isfinite().all():
        raise ValueError("the layer's states must be finite, got NaN or infinity; gw.flow.diagnose says where it began")
    lengths = lengths_of(run)
    if int((lengths - max_lag).clamp(min=0).sum()) < MIN_STEPS:
        raise ValueError(
            f"inputs must leave at least {MIN_STEPS} steps with {max_lag} steps before them, got sequences of at most "
            f"{int(lengths.max())} steps; give longer ones or a smaller max_lag"
        )
    rows = [
        _measure(_Samples(run, index, is_reverse=index % num_directions(layer) == 1, max_lag=max_lag))
        for index in range(len(run.directions))
    ]
    r_squared, shuffled = zip(*rows, strict=True)
    return MemoryCapacity(
        lags=torch.arange(max_lag + 1),
        r_squared=torch.tensor(r_squared, dtype=torch.float64),
        shuffled=torch.tensor(shuffled, dtype=torch.float64),
    )


class _Samples:
    """The steps of one row that have all lags before them, in the order of time; all sequences of a step together."""

    def __init__(self, run: Run, index: int, *, is_reverse: bool, max_lag: int) -> None:
        lengths = lengths_of(run)
        age = torch.arange(len(run.call.inputs)).unsqueeze(1)  # steps since the start of the sequence
        step, self.sequence = ((age >= max_lag) & (age < lengths)).nonzero().unbind(dim=1)
        self.position = lengths[self.sequence] - 1 - step if is_reverse else step
        self.back = -1 if is_reverse else 1
        self.max_lag = max_lag
        self.inputs = run.call.inputs.detach().cpu()
        self.features = run.directions[index].hidden.detach().cpu()[self.position, self.sequence]  # (S, P)

    def inputs_at_lag(self, lag: int) -> Tensor:
        """Return x_{t-k} (S, I)."""
        return self.inputs[self.position - self.back * lag, self.sequence]

    def split(self) -> Split:
        """Return which samples fit, choose and are held out."""
        count = len(self.position)
        first, second = int(FIT * count), int((FIT + CHOOSE) * count)
        order = torch.arange(count)
        return Split(order[:first], order[first:second], order[second:])


def _measure(samples: _Samples) -> tuple[list[float], float]:
    """Return R^2 per lag and the level of shuffled inputs."""
    ridge = Ridge(samples.features, samples.split())
    generator = torch.Generator().manual_seed(SHUFFLE_SEED)
    present = samples.inputs_at_lag(0)
    orders = [torch.randperm(len(present), generator=generator) for _ in range(NUM_SHUFFLES)]
    return (
        [ridge.held_out_r_squared(samples.inputs_at_lag(lag)) for lag in range(samples.max_lag + 1)],
        max(ridge.held_out_r_squared(present[order]) for order in orders),
    )
