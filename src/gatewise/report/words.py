"""The sentences of the report that are made from the record: the verdict's numbers, the rules, the settings."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

from gatewise.records.schema import Machine, Record, Settings, TaskFacts
from gatewise.report.numbers import count, duration, number, plain_number

MIN_SEEDS = 3
MATCHING = {
    "parameters": "The sizes are matched by parameter count: the {reference} has a hidden size of {size}, and each "
    "other cell gets the hidden size whose parameter count comes closest.",
    "hidden-size": "All cells have a hidden size of {size}, so they differ in parameters: a GRU’s recurrent layer has "
    "three times those of an RNN, an LSTM’s four times.",
    "time": "The sizes are matched by time: the {reference} has a hidden size of {size}, and each other cell gets "
    "that of nine sizes whose training step took the time closest to it on this machine; the table gives the times.",
}


def headline(record: Record) -> str:
    """Return the verdict in one sentence, or why there is none."""
    if record.verdict is not None:
        return record.verdict.text
    return "No verdict yet." if record.status == "running" else "No verdict: the runs do not allow a comparison."


def difference(record: Record) -> str:
    """Return the verdict's difference and its 95 % interval in plain words; ``""`` where there is none."""
    verdict = record.verdict
    if verdict is None or verdict.difference is None or not isfinite(verdict.difference):
        return ""
    if min(summary.seeds for summary in record.cells) < MIN_SEEDS:
        return ""  # the verdict has just said that so few seeds decide nothing
    leader, runner_up = verdict.reasons[0].cell, verdict.reasons[1].cell
    side = "below" if verdict.difference < 0 else "above"
    gap = f"The {leader}’s mean test {record.metric.name} is {number(abs(verdict.difference))} {side} the {runner_up}’s"
    gap += f" ({record.metric.better} is better)."
    if verdict.interval is None or not all(map(isfinite, verdict.interval)):
        return f"{gap} An interval cannot be given."
    low, high = verdict.interval
    interval = f"The 95 % interval of that difference goes from {number(low)} to {number(high)}"
    return f"{gap} {interval}: it {_zero(low, high)}"


def _zero(low: float, high: float) -> str:
    if low > 0 or high < 0:
        return "leaves out zero, so the luck of the seeds alone hardly explains it."
    return "contains zero, so the luck of the seeds may explain it."


def needed_lag(task: TaskFacts) -> str:
    """Return how many steps back a network must remember: ``"90"``, ``"about 90"`` or ``"unknown"``."""
    if task.needed_lag is None:
        return "unknown"
    return f"{'about ' if task.needed_lag_is_estimated else ''}{count(task.needed_lag)}"


def needed_lag_label(task: TaskFacts) -> str:
    """Return the text at the line of the needed lag."""
    return f"{'estimated ' if task.needed_lag_is_estimated else ''}needed lag {count(task.needed_lag or 0)}"


def incomplete(record: Record) -> str:
    """Return how far a running comparison has come."""
    chosen, asked = sum(run.is_chosen for run in record.runs), len(record.settings.cells) * len(record.settings.seeds)
    return f"This comparison is still running or was interrupted: {chosen} of {asked} runs that count are finished."


def rules(record: Record) -> Iterator[str]:
    """Yield the rules that make the comparison fair, in plain words."""
    settings = record.settings
    yield "Every cell sees the same data, the same split and, seed by seed, the same batches in the same order."
    yield f"Every run has the same budget: {_budget(settings)}."
    yield MATCHING[settings.match].format(reference=settings.reference_cell, size=count(settings.hidden_size))
    rates = ", ".join(plain_number(rate) for rate in settings.learning_rates)
    yield (
        "The learning rate, which matters more than any other setting (Greff et al. 2017), is chosen for each cell "
        f"from the same set ({rates}) on the validation data of the first seed; that seed’s run is then reused."
    )
    yield "The score is the test score at the best validation step; test data decide nothing before that."
    if record.task.goal is not None:
        goal = plain_number(record.task.goal)
        yield f"A run is solved when its {record.metric.name} reaches {goal}; cells solved in every seed tie."
    yield (
        "A winner is named only if the 95 % Welch interval of the difference to the runner-up leaves out zero; with "
        "fewer than three seeds nobody wins."
    )


def notes_on_numbers(record: Record) -> str:
    """Return what the table's numbers are taken over."""
    scores = "the scores of one seed, so nothing can be said about chance"
    if len(record.settings.seeds) > 1:
        scores = "mean ± standard deviation over the seeds"
    needed = record.task.needed_lag
    task = "how far back the task looks is not known" if needed is None else f"the task needs {needed_lag(record.task)}"
    return (
        f"Scores are {scores}; the time is the mean of a run. The horizon, the median over the seeds, is how many "
        f"steps back the gradient reaches after training; {task}. The half-life is the median over the units. Both "
        "are defined below."
    )


def _budget(settings: Settings) -> str:
    budget = f"at most {count(settings.max_steps)} steps of {count(settings.batch_size)} sequences"
    return budget if settings.time_budget_s is None else f"{budget}, at most {duration(settings.time_budget_s)}"


def settings_in_words(record: Record) -> Iterator[tuple[str, str]]:
    """Yield what was asked for, as name and value."""
    settings = record.settings
    yield "source", settings.source
    for name, value in settings.options.items():
        yield name, ", ".join(value) if isinstance(value, list) else str(value)
    yield "cells", ", ".join(settings.cells)
    yield "seeds", ", ".join(str(seed) for seed in settings.seeds)
    yield "sequence length", f"{count(record.task.sequence_length)} steps"
    yield "inputs, outputs", f"{count(record.task.input_size)}, {count(record.task.output_size)}"
    yield "needed lag", needed_lag(record.task) + (" steps" if record.task.needed_lag is not None else "")
    yield "hidden size", f"{count(settings.hidden_size)}, matched by {settings.match.replace('-', ' ')}"
    yield "learning rates", ", ".join(plain_number(rate) for rate in settings.learning_rates)
    yield "batch size", count(settings.batch_size)
    yield "steps", f"at most {count(settings.max_steps)}, validated every {count(settings.validate_every)}"
    yield "gradient clipping", f"at a norm of {plain_number(settings.clip_norm)}"


def machine_in_words(machine: Machine) -> Iterator[tuple[str, str]]:
    """Yield where the numbers were measured, as name and value."""
    threads = machine.threads_per_run
    yield "platform", machine.platform
    yield "processor", machine.processor
    yield "cores", count(machine.cores)
    yield "runs at a time", f"{count(machine.jobs)}, {count(threads)} thread{'s' if threads > 1 else ''} each"
    yield "CPU level", machine.cpu_level
    yield "Python", machine.python
    yield from machine.packages.items()
