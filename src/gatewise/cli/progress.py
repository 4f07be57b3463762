"""How the runs are going: bars on a terminal, a line a finished run elsewhere; always on stderr."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from gatewise.compare import RunOutcome, RunPlan
from gatewise.tasks import Task


class LineProgress:
    """One plain line for each finished run.

    Parameters
    ----------
    task : Task
    num_runs : int
    max_steps : int
        Of a run.
    jobs : int
        Runs that train at the same time.
    """

    def __init__(self, task: Task, num_runs: int, max_steps: int, jobs: int) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.task, self.num_runs, self.max_steps, self.jobs = task, num_runs, max_steps, jobs
        self.num_finished = 0

    def __enter__(self) -> LineProgress:
        runs = f"{self.num_runs} run{'s' if self.num_runs > 1 else ''}"
        self._say(f"{self.task.name}: {self.task.description}")
        self._say(f"{runs} of at most {self.max_steps} steps, {self.jobs} at a time")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave nothing behind."""

    def started(self, plan: RunPlan) -> None:
        """Say nothing: a queued run is no news."""

    def advanced(self, plan: RunPlan, step: int, score: float | None) -> None:
        """Say nothing: lines are for finished runs."""

    def finished(self, plan: RunPlan, outcome: RunOutcome) -> None:
        """Print the run's line."""
        self.num_finished += 1
        run = outcome.run
        self._say(
            f"[{self.num_finished:>{len(str(self.num_runs))}}/{self.num_runs}] {plan.label:<22} "
            f"{self.task.metric.name} {run.score:.4g} after {run.steps} steps, {run.seconds:.0f} s "
            f"({run.stopped_because})"
        )

    def _say(self, line: str) -> None:
        """Print a line as it is, however narrow the terminal."""
        self.console.print(line, markup=False, soft_wrap=True)


class BarProgress(LineProgress):
    """The same lines, and below them a bar for each run under way and one for all."""

    def __init__(self, task: Task, num_runs: int, max_steps: int, jobs: int) -> None:
        super().__init__(task, num_runs, max_steps, jobs)
        self._bars = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[score]}"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
        )
        self._all = self._bars.add_task("all runs", total=num_runs, score="")
        self._by_folder: dict[str, TaskID] = {}

    def __enter__(self) -> BarProgress:
        super().__enter__()
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take the bars away."""
        self._bars.stop()

    def advanced(self, plan: RunPlan, step: int, score: float | None) -> None:
        """Move the run's bar, which appears at its first step."""
        if plan.folder not in self._by_folder:
            self._by_folder[plan.folder] = self._bars.add_task(plan.label, total=plan.loop.max_steps, score="")
        text = "" if score is None else f"{self.task.metric.name} {score:.4g}"
        self._bars.update(self._by_folder[plan.folder], completed=step, score=text)

    def finished(self, plan: RunPlan, outcome: RunOutcome) -> None:
        """Print the run's line and take its bar away."""
        super().finished(plan, outcome)
        if plan.folder in self._by_folder:
            self._bars.remove_task(self._by_folder.pop(plan.folder))
        self._bars.advance(self._all)
