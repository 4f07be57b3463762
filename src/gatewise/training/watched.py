"""The gradient's flow at every so many training steps, seen from outside the training loop."""

from __future__ import annotations

from types import TracebackType

from torch.nn import Module

from gatewise import flow

Scalars = dict[str, float]


class WatchedSteps:
    """A `Monitor` that is attached for one training step in `every` alone, so that the steps between cost nothing.

    Use it as a context manager around `train` and call it after every step; training is bit for bit as without.

    Parameters
    ----------
    model : torch.nn.Module
    every : int
        Steps every, 2*every ... are watched, counted from 1 as `train` does, and the last one.
    max_steps : int
        The last step, if training comes so far.
    needed_lag : float, optional
        As in `Monitor`: below it the verdict is that the gradient vanishes.

    Attributes
    ----------
    scalars : dict of dict
        By training step; see `MonitorRecord.scalars` for the names.
    """

    def __init__(self, model: Module, every: int, max_steps: int, needed_lag: float | None = None) -> None:
        self.every, self.max_steps = every, max_steps
        self.scalars: dict[int, Scalars] = {}
        self._step = 1
        self._monitor = flow.Monitor(model, every=1, callback=self._keep, needed_lag=needed_lag)

    def __call__(self, step: int) -> None:
        """Hear that training step `step` is done."""
        self._monitor.detach()
        self._begin(step + 1)

    def __enter__(self) -> WatchedSteps:
        self._begin(self._step)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._monitor.detach()

    def _begin(self, step: int) -> None:
        self._step = step
        if step % self.every == 0 or step == self.max_steps:
            self._monitor.attach()

    def _keep(self, _: int, scalars: Scalars) -> None:
        self.scalars[self._step] = scalars
        self._monitor.records.clear()  # the curves behind the scalars would grow with the training
