"""Training runs side by side, each in a process of its own on one thread.

Networks this small gain nothing from a second thread, so the cores go to different runs instead; and since every run
always has one thread, its numbers do not depend on how many run at once.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from gatewise.compare.processes import interrupts_held, process_context, start_process
from gatewise.compare.settings import TaskChoice
from gatewise.compare.worker import RunOutcome, RunPlan, execute
from gatewise.errors import GatewiseError
from gatewise.tasks import Task
from gatewise.training import CancelledTrainingError, Validation

_POLL_S = 0.1
_REPORT_EVERY_S = 0.1


class Progress(Protocol):
    """What wants to know how the runs are going."""

    def started(self, plan: RunPlan) -> None:
        """Hear that a run was queued."""

    def advanced(self, plan: RunPlan, step: int, score: float | None) -> None:
        """Hear that a run reached `step`; `score` is its newest validation score."""

    def finished(self, plan: RunPlan, outcome: RunOutcome) -> None:
        """Hear that a run is done."""


@dataclass(frozen=True)
class _Worker:
    """What a worker process keeps from one run to the next."""

    task: Task
    out: Path
    events: Any  # multiprocessing.Queue of (folder, step, score)
    stop: Any  # multiprocessing.Event


# What the worker process was given, or why it could not be prepared.
_worker: _Worker | Exception | None = None


def _start_worker(choice: TaskChoice, sha256: str | None, out: Path, events: Any, stop: Any) -> None:
    """Prepare a worker process; runs once in each.

    An exception here would only break the pool, without its reason; so it is kept for the first run to raise.
    """
    global _worker  # the one way to hand a pool's worker what it keeps
    start_process()
    try:
        task = choice.open()
        if sha256 is not None and (task.source is None or task.source.sha256 != sha256):
            raise GatewiseError(f"{choice.source} changed while it was being read; run the comparison again")
        _worker = _Worker(task, out, events, stop)
    except Exception as error:
        _worker = error


def _execute(plan: RunPlan) -> RunOutcome:
    """Execute one plan in a worker process."""
    if isinstance(_worker, Exception):
        raise _worker
    if _worker is None:
        raise RuntimeError("the worker process was not started with _start_worker")
    worker = _worker
    if worker.stop.is_set():
        raise CancelledTrainingError
    last_report = 0.0
    score: float | None = None

    def on_step(step: int) -> None:
        nonlocal last_report
        if worker.stop.is_set():
            raise CancelledTrainingError
        now = time.monotonic()
        if now - last_report >= _REPORT_EVERY_S:
            last_report = now
            worker.events.put((plan.folder, step, score))

    def on_validation(validation: Validation) -> None:
        nonlocal score
        score = validation.score

    return execute(plan, worker.task, worker.out, on_step, on_validation)


class Pool:
    """Processes that train; use it as a context manager.

    Parameters
    ----------
    choice : TaskChoice
        Opened again in each process.
    sha256 : str or None
        Of the data that the main process read; a process that reads other data refuses to train.
    out : Path
        The comparison's folder.
    jobs : int
        Number of processes.
    progress : Progress
    """

    def __init__(self, choice: TaskChoice, sha256: str | None, out: Path, jobs: int, progress: Progress) -> None:
        context = process_context()
        self._events = context.Queue()
        self._stop = context.Event()
        arguments = (choice, sha256, out, self._events, self._stop)
        self._executor = ProcessPoolExecutor(jobs, context, _start_worker, arguments)
        self._running: dict[Future[RunOutcome], RunPlan] = {}
        self._progress = progress

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self._stop.set()
        self._executor.shutdown(wait=True, cancel_futures=True)

    def submit(self, plan: RunPlan) -> None:
        """Queue a run."""
        try:
            with interrupts_held():
                future = self._executor.submit(_execute, plan)
        except BrokenProcessPool as error:
            raise _process_died(plan) from error
        self._running[future] = plan
        self._progress.started(plan)

    def outcomes(self) -> Iterator[tuple[RunPlan, RunOutcome]]:
        """Yield runs as they finish until none is left; more may be submitted in between."""
        while self._running:
            done, _ = wait(self._running, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            self._pass_events_on()
            for future in done:
                plan = self._running.pop(future)
                outcome = _result(future, plan)
                self._progress.finished(plan, outcome)
                yield plan, outcome

    def _pass_events_on(self) -> None:
        by_folder = {plan.folder: plan for plan in self._running.values()}
        while True:
            try:
                folder, step, score = self._events.get_nowait()
            except queue.Empty:
                return
            if folder in by_folder:
                self._progress.advanced(by_folder[folder], step, score)


def _result(future: Future[RunOutcome], plan: RunPlan) -> RunOutcome:
    """Return what a run gave, or say in one line why it gave nothing."""
    try:
        return future.result()
    except GatewiseError:
        raise
    except BrokenProcessPool as error:
        raise _process_died(plan) from error
    except Exception as error:
        first_line = (str(error).splitlines() or [""])[0]
        raise GatewiseError(f"{plan.label} failed: {type(error).__name__}: {first_line}") from error


def _process_died(plan: RunPlan) -> GatewiseError:
    return GatewiseError(
        f"a training process died while {plan.label} was under way (out of memory?); try --jobs 1 or smaller sizes"
    )
