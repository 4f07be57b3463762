"""Which cell to use and why, in words, by rules that a single lucky seed cannot bend.

A winner is named only if the 95 % Welch interval against the runner-up excludes zero; on a task with a goal, cells that
reach it in every seed tie; below three seeds nobody wins.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from gatewise.compare.statistics import welch_interval
from gatewise.records import Baseline, CellSummary, Reason, Run, TaskFacts, Verdict
from gatewise.tasks import Metric

MIN_SEEDS = 3


def decide(
    summaries: Sequence[CellSummary],
    runs: Sequence[Run],
    metric: Metric,
    task: TaskFacts,
    baselines: Sequence[Baseline],
) -> Verdict:
    """Apply the rules.

    Parameters
    ----------
    summaries : sequence of CellSummary
        One a cell.
    runs : sequence of Run
        The chosen runs of every cell.
    metric : Metric
    task : TaskFacts
    baselines : sequence of Baseline
        A network that beats none of them is said not to.
    """
    # Training stops at the goal, so beyond it a score says little: a cell that always gets there comes first.
    ranked = sorted(summaries, key=lambda cell: (cell.solved != cell.seeds, metric.sort_key(cell.mean_score)))
    difference, interval = _difference(ranked, runs)
    tied = [summary.cell for summary in ranked if summary.solved == summary.seeds]
    winner = None
    if len(ranked) == 1:
        text = f"{ranked[0].cell}: {metric.name} {_number(ranked[0].mean_score)}, compared with no other cell."
    elif min(summary.seeds for summary in ranked) < MIN_SEEDS:
        text = f"No winner is named below {MIN_SEEDS} seeds: one run more may turn the order."
        tied = []
    elif len(tied) > 1:
        text = f"{_list(tied)} {'both' if len(tied) == 2 else 'all'} solve the task in every seed: a tie."
    elif interval is not None and (interval[1] < 0 if metric.better == "lower" else interval[0] > 0):
        winner = ranked[0].cell
        text = _winner_text(ranked[0], ranked[1], metric, interval)
    else:
        text = _no_winner_text(ranked[0], ranked[1], metric, difference, interval)
    return Verdict(
        winner=winner,
        tied=tied if len(tied) > 1 else [],
        text=text + _failures(ranked, task) + _against_baselines(ranked[0], baselines, metric),
        reasons=[Reason(cell=summary.cell, text=explain(summary, runs, task)) for summary in ranked],
        difference=difference,
        interval=interval,
    )


def explain(summary: CellSummary, runs: Sequence[Run], task: TaskFacts) -> str:
    """Say how one cell did and how far its gradient reached against how far the task needs it to."""
    outcome = f"reached a {'mean ' if summary.seeds > 1 else ''}score of {_number(summary.mean_score)}"
    if not math.isfinite(summary.mean_score):
        outcome = "diverged in at least one run"
    if summary.solved is not None:
        outcome = f"solved the task in {summary.solved} of {summary.seeds} runs"
    horizon = summary.horizon
    if horizon is None or not math.isfinite(summary.mean_score):
        return f"{summary.cell} {outcome}."
    reach = f"{'at least ' if summary.horizon_is_censored else ''}{horizon:g} {'step' if horizon == 1 else 'steps'}"
    text = f"{summary.cell} {outcome}; its gradient reaches back {reach} after training"
    before = [run.horizon_before for run in runs if run.cell == summary.cell and run.horizon_before is not None]
    if before:
        text += f" (before: {sorted(before)[len(before) // 2]})"
    if task.needed_lag is None:
        return text + "."
    needed = f"{'estimated ' if task.needed_lag_is_estimated else ''}{task.needed_lag} that the task needs"
    return f"{text}, {'enough for' if horizon >= task.needed_lag else 'less than'} the {needed}."


def _difference(ranked: Sequence[CellSummary], runs: Sequence[Run]) -> tuple[float | None, tuple[float, float] | None]:
    """Return leader minus runner-up and its interval; None where there is one cell, one seed or a run that diverged."""
    scores = [[run.score for run in runs if run.cell == summary.cell] for summary in ranked[:2]]
    if len(scores) < 2 or not all(map(math.isfinite, [*scores[0], *scores[1]])):
        return None, None
    difference = statistics.fmean(scores[0]) - statistics.fmean(scores[1])
    has_seeds = min(len(scores[0]), len(scores[1])) > 1
    return difference, welch_interval(scores[0], scores[1]) if has_seeds else None


def _winner_text(first: CellSummary, second: CellSummary, metric: Metric, interval: tuple[float, float]) -> str:
    return (
        f"Use the {first.cell}: its {metric.name} is {_number(first.mean_score)} against {_number(second.mean_score)} "
        f"of the {second.cell} (95 % interval of the difference {_number(interval[0])} to {_number(interval[1])})."
    )


def _no_winner_text(
    first: CellSummary,
    second: CellSummary,
    metric: Metric,
    difference: float | None,
    interval: tuple[float, float] | None,
) -> str:
    if not math.isfinite(first.mean_score):
        return "No winner: the training of every cell diverged; try a smaller learning rate."
    if difference is None or interval is None:
        return f"No winner: training of the {second.cell} diverged, so there is no interval to judge by."
    between = f"the 95 % interval of the difference in {metric.name}, {_number(interval[0])} to {_number(interval[1])},"
    if first.solved == first.seeds:
        only = f"only the {first.cell} solves the task in every seed"
        return f"No clear winner: {only}, but {between} does not favour it over the {second.cell}."
    lead = f"the {first.cell} leads the {second.cell} by {_number(abs(difference))}"
    return f"No clear winner: {lead}, but {between} includes zero."


def _failures(ranked: Sequence[CellSummary], task: TaskFacts) -> str:
    """Name the cells that never solve a task that has a goal."""
    failed = [summary.cell for summary in ranked if summary.solved == 0]
    if task.goal is None or not failed:
        return ""
    if len(failed) == len(ranked):
        return " No cell solves the task."
    return f" The {_list(failed)} never solve{'s' if len(failed) == 1 else ''} it."


def _against_baselines(first: CellSummary, baselines: Sequence[Baseline], metric: Metric) -> str:
    """Say so where a baseline that needs no network is at least as good as the best cell."""
    if not math.isfinite(first.mean_score):
        return ""
    unbeaten = [baseline for baseline in baselines if not metric.is_better(first.mean_score, baseline.score)]
    if not unbeaten:
        return ""
    best = min(unbeaten, key=lambda baseline: metric.sort_key(baseline.score))
    return f' No cell beats the baseline "{best.name}" ({_number(best.score)}), which needs no network.'


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _number(value: float) -> str:
    return f"{value:.3g}"
