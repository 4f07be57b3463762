"""The whole comparison: which runs there are, in which order, and what is written down of them.

The same data, split and order of batches for every cell; the same budget; sizes matched; a learning rate per cell;
several seeds; naive baselines. The record is written after every run, so a kill loses only what was under way.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Literal

import gatewise
from gatewise.compare.context import estimate_needed_lag, score_by_context
from gatewise.compare.matching import match_sizes, reference_cell
from gatewise.compare.pool import Pool, Progress
from gatewise.compare.search import choose_learning_rate
from gatewise.compare.settings import CompareSettings, TaskChoice, suggested_max_steps
from gatewise.compare.statistics import summarise
from gatewise.compare.verdict import decide
from gatewise.compare.worker import RunOutcome, RunPlan
from gatewise.records import (
    Baseline,
    ContextPoint,
    Metric,
    Record,
    Run,
    RunFolder,
    Settings,
    Source,
    TaskFacts,
    machine_facts,
    usable_cores,
)
from gatewise.tasks import Task
from gatewise.training import LoopSettings, ModelConfig, load


class Comparison:
    """One comparison under way.

    Parameters
    ----------
    choice : TaskChoice
    task : Task
        What `choice` opens.
    settings : CompareSettings
    folder : RunFolder
        Where everything is written.
    command : str
        What the user typed, for the record.
    """

    def __init__(
        self, choice: TaskChoice, task: Task, settings: CompareSettings, folder: RunFolder, command: str
    ) -> None:
        self.choice, self.task, self.settings, self.folder, self.command = choice, task, settings, folder, command
        self.outcomes: list[RunOutcome] = []
        self._baselines = [Baseline(**asdict(baseline)) for baseline in task.baselines()]
        self._created = datetime.now(UTC).isoformat(timespec="seconds")
        num_runs = len(settings.cells) * (len(settings.learning_rates) + len(settings.seeds) - 1)
        self.num_runs = num_runs
        self.max_steps = settings.max_steps or suggested_max_steps(task)
        self.jobs = min(settings.jobs or usable_cores(), num_runs)
        self.sizes = match_sizes(settings.cells, settings.hidden_size, task, settings.match, settings.batch_size)

    def run(self, progress: Progress) -> Record:
        """Train everything and return the complete record, which is also on the disk."""
        settings = self.settings
        self.folder.write_settings(self._settings_record())
        self._write(self._record("running"))
        sha256 = self.task.source.sha256 if self.task.source else None
        with Pool(self.choice, sha256, self.folder.path, self.jobs, progress) as pool:
            for cell in settings.cells:
                for learning_rate in settings.learning_rates:
                    pool.submit(self._plan(cell, settings.seeds[0], learning_rate))
            for plan, outcome in pool.outcomes():
                is_search = plan.seed == settings.seeds[0]
                self.outcomes.append(outcome if is_search else _chosen(outcome))
                self._settle_learning_rate(plan.config.cell, pool)
                self._write(self._record("running"))
        return self._finish()

    def _plan(self, cell: str, seed: int, learning_rate: float) -> RunPlan:
        settings = self.settings
        loop = LoopSettings(
            learning_rate=learning_rate,
            batch_size=settings.batch_size,
            max_steps=self.max_steps,
            clip_norm=settings.clip_norm,
            validate_every=settings.validate_every,
            time_budget_s=settings.time_budget_s,
        )
        config = ModelConfig.for_task(cell, self.sizes[cell].hidden_size, self.task)
        return RunPlan(config, seed, loop, f"{cell}-seed{seed}-lr{learning_rate:g}", settings.is_monitored)

    def _settle_learning_rate(self, cell: str, pool: Pool) -> None:
        """Once the last of a cell's search runs is in, choose its learning rate and queue the other seeds."""
        first_seed, *other_seeds = self.settings.seeds
        searched = [outcome for outcome in self.outcomes if outcome.run.cell == cell and outcome.run.seed == first_seed]
        is_settled = any(outcome.run.is_chosen for outcome in searched)
        if is_settled or len(searched) < len(self.settings.learning_rates):
            return
        chosen = choose_learning_rate([outcome.run for outcome in searched], self.task.metric)
        self.outcomes = [
            _chosen(outcome) if outcome in searched and outcome.run.learning_rate == chosen else outcome
            for outcome in self.outcomes
        ]
        for seed in other_seeds:
            pool.submit(self._plan(cell, seed, chosen))

    def _finish(self) -> Record:
        """Estimate the needed lag where nobody knows it, apply the verdict's rules, write."""
        context: list[ContextPoint] = []
        best = self._best_run()
        if self.task.needed_lag is None and self._beats_baselines(best):
            context = score_by_context(load(self.folder.path / best.folder), self.task)
        record = self._record("complete", context)
        verdict = decide(
            record.cells, [run for run in record.runs if run.is_chosen], self.task.metric, record.task, record.baselines
        )
        record = record.model_copy(update={"verdict": verdict})
        self._write(record)
        return record

    def _best_run(self) -> Run:
        """Return the chosen run with the best validation score."""
        runs = [outcome.run for outcome in self.outcomes if outcome.run.is_chosen]
        return min(runs, key=lambda run: self.task.metric.sort_key(run.validation_score))

    def _beats_baselines(self, run: Run) -> bool:
        """Return whether the run beats what needs no network; how much context it uses says nothing otherwise."""
        return all(self.task.metric.is_better(run.score, baseline.score) for baseline in self._baselines)

    def _write(self, record: Record) -> None:
        self.folder.write_metrics([row for outcome in self.outcomes for row in outcome.metrics])
        self.folder.write_flow([outcome.flow for outcome in self.outcomes if outcome.run.is_chosen])
        self.folder.write_record(record)

    def _record(self, status: Literal["running", "complete"], context: list[ContextPoint] | None = None) -> Record:
        order = {cell: position for position, cell in enumerate(self.settings.cells)}
        runs = sorted(
            (outcome.run for outcome in self.outcomes), key=lambda run: (order[run.cell], run.seed, run.learning_rate)
        )
        chosen = {cell: [run for run in runs if run.cell == cell and run.is_chosen] for cell in self.settings.cells}
        return Record(
            name=self.folder.path.name,
            status=status,
            created=self._created,
            command=self.command,
            gatewise_version=gatewise.__version__,
            machine=machine_facts(self.jobs, threads_per_run=1),
            task=self._task_facts(context or []),
            settings=self._settings_record(),
            metric=Metric(**asdict(self.task.metric)),
            baselines=self._baselines,
            runs=runs,
            cells=[summarise(cell, of_cell, self.sizes[cell]) for cell, of_cell in chosen.items() if of_cell],
            context=context or [],
            verdict=None,
        )

    def _task_facts(self, context: list[ContextPoint]) -> TaskFacts:
        task = self.task
        needed_lag = estimate_needed_lag(context, task) if context else task.needed_lag
        return TaskFacts(
            name=task.name,
            description=task.description,
            input_size=task.input_size,
            output_size=task.output_size,
            sequence_length=task.sequence_length,
            goal=task.goal,
            needed_lag=needed_lag,
            needed_lag_is_estimated=task.needed_lag is None,
            source=Source(**asdict(task.source)) if task.source else None,
        )

    def _settings_record(self) -> Settings:
        settings = self.settings
        return Settings(
            source=self.choice.source,
            options=self.choice.options(),
            cells=list(settings.cells),
            seeds=list(settings.seeds),
            hidden_size=settings.hidden_size,
            reference_cell=reference_cell(settings.cells),
            match=settings.match,
            learning_rates=list(settings.learning_rates),
            batch_size=settings.batch_size,
            max_steps=self.max_steps,
            time_budget_s=settings.time_budget_s,
            clip_norm=settings.clip_norm,
            validate_every=settings.validate_every,
            is_monitored=settings.is_monitored,
        )


def _chosen(outcome: RunOutcome) -> RunOutcome:
    """Return the outcome marked as one that counts."""
    return replace(outcome, run=outcome.run.model_copy(update={"is_chosen": True}))
