"""The Welch interval against numbers worked out by hand, and the rules of the verdict."""

import math

import pytest
from scipy import stats

from gatewise.compare.matching import MatchedSize
from gatewise.compare.search import choose_learning_rate
from gatewise.compare.statistics import summarise, welch_interval
from gatewise.compare.verdict import decide, explain
from gatewise.records import Baseline, Run, TaskFacts
from gatewise.tasks import Metric

MSE = Metric("mse", "lower")
ACCURACY = Metric("accuracy", "higher")


def test_welch_interval_by_hand():
    # Means 2 and 5, variances 1 and 4, three each: standard error sqrt(5/3), 2.941 degrees of freedom, t = 3.2205.
    first, second = [1.0, 2.0, 3.0], [3.0, 5.0, 7.0]
    degrees = (5 / 3) ** 2 / ((1 / 3) ** 2 / 2 + (4 / 3) ** 2 / 2)
    assert degrees == pytest.approx(2.941, abs=1e-3)
    low, high = welch_interval(first, second)
    assert (low + high) / 2 == pytest.approx(-3)
    assert (high - low) / 2 == pytest.approx(3.2205 * math.sqrt(5 / 3), rel=1e-3)
    assert (high - low) / 2 != pytest.approx(2.776 * math.sqrt(5 / 3), rel=1e-2)  # Student's, with 4 degrees


def test_welch_interval_is_that_of_scipy():
    first, second = [0.31, 0.29, 0.36, 0.33], [0.1, 0.25, 0.2]
    expected = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    assert welch_interval(first, second) == pytest.approx((expected.low, expected.high), rel=1e-9)


def test_welch_interval_without_any_spread_is_the_difference():
    assert welch_interval([1.0, 1.0], [3.0, 3.0]) == (-2.0, -2.0)


def run_of(cell, seed, score, solved=None, **changes):
    fields = {
        "cell": cell,
        "seed": seed,
        "hidden_size": 8,
        "parameters": 100,
        "learning_rate": 0.01,
        "is_chosen": True,
        "score": score,
        "validation_score": score,
        "solved": solved,
        "steps": 100,
        "best_step": 100,
        "seconds": 1.0,
        "stopped_because": "solved" if solved else "max steps",
        "horizon": 20,
        "horizon_is_censored": False,
        "horizon_before": 5,
        "folder": f"{cell}-{seed}",
    }
    return Run(**(fields | changes))


def task_facts(goal=None, needed_lag=None):
    return TaskFacts(
        name="task",
        description="",
        input_size=1,
        output_size=1,
        sequence_length=50,
        goal=goal,
        needed_lag=needed_lag,
        needed_lag_is_estimated=False,
        source=None,
    )


def verdict_of(scores, metric=MSE, goal=None, baselines=(), needed_lag=None):
    """Decide between cells given {cell: scores}."""
    runs = [
        run_of(cell, seed, score, None if goal is None else metric.reaches(score, goal))
        for cell, of_cell in scores.items()
        for seed, score in enumerate(of_cell)
    ]
    summaries = [summarise(cell, [run for run in runs if run.cell == cell], MatchedSize(8, 100)) for cell in scores]
    return decide(summaries, runs, metric, task_facts(goal, needed_lag), list(baselines))


def test_clear_winner_is_named():
    verdict = verdict_of({"RNN": [5.0, 5.1, 4.9], "LSTM": [1.0, 1.1, 0.9], "GRU": [2.0, 2.1, 1.9]})
    assert verdict.winner == "LSTM"
    assert verdict.difference == pytest.approx(-1.0)
    assert verdict.interval[1] < 0
    assert verdict.text.startswith("Use the LSTM: its mse is 1 against 2 of the GRU")


def test_higher_can_be_better():
    verdict = verdict_of({"RNN": [0.2, 0.21, 0.19], "GRU": [0.9, 0.91, 0.89]}, ACCURACY)
    assert verdict.winner == "GRU"
    assert verdict.difference == pytest.approx(0.7)


def test_overlapping_scores_have_no_winner():
    verdict = verdict_of({"LSTM": [1.0, 2.0, 3.0], "GRU": [1.1, 2.1, 3.1]})
    assert verdict.winner is None
    assert verdict.tied == []
    assert "includes zero" in verdict.text


@pytest.mark.parametrize("seeds", [1, 2])
def test_verdict_from_few_seeds_is_refused(seeds):
    verdict = verdict_of({"LSTM": [1.0] * seeds, "GRU": [9.0] * seeds})
    assert verdict.winner is None
    assert "below 3 seeds" in verdict.text


def test_cells_that_always_reach_the_goal_tie():
    scores = {"RNN": [0.16, 0.17, 0.18], "LSTM": [0.001, 0.0011, 0.0009], "GRU": [0.003, 0.0031, 0.0029]}
    verdict = verdict_of(scores, goal=0.01)
    assert verdict.winner is None
    assert verdict.tied == ["LSTM", "GRU"]
    assert verdict.text == "LSTM and GRU both solve the task in every seed: a tie. The RNN never solves it."
    assert verdict_of(scores).winner == "LSTM"  # without a goal the same scores have a winner


def test_one_cell_that_reaches_the_goal_wins_by_its_interval():
    verdict = verdict_of({"RNN": [0.16, 0.17, 0.18], "LSTM": [0.001, 0.0011, 0.0009]}, goal=0.01)
    assert verdict.winner == "LSTM"


def test_cell_that_misses_the_goal_does_not_win_over_one_that_never_does():
    lstm, gru = [0.0095, 0.0094, 0.0096, 0.0093, 0.0095], [0.001, 0.0012, 0.0011, 0.001, 0.0101]
    verdict = verdict_of({"LSTM": lstm, "GRU": gru}, goal=0.01)
    assert verdict.winner is None
    assert verdict.text.startswith("No clear winner: only the LSTM solves the task in every seed, but")
    assert verdict_of({"LSTM": lstm, "GRU": gru}).winner == "GRU"


def test_diverged_cell_comes_last_and_never_wins():
    verdict = verdict_of({"RNN": [math.nan, 0.1, 0.1], "LSTM": [1.0, 1.1, 0.9], "GRU": [3.0, 3.1, 2.9]})
    assert verdict.winner == "LSTM"
    verdict = verdict_of({"RNN": [math.nan, 0.1, 0.1], "LSTM": [1.0, 1.1, 0.9]})
    assert verdict.winner is None
    assert "diverged" in verdict.text


def test_unbeaten_baseline_is_said():
    baselines = [Baseline(name="last value", score=0.5), Baseline(name="seasonal naive", score=0.7)]
    verdict = verdict_of({"RNN": [5.0, 5.1, 4.9], "LSTM": [1.0, 1.1, 0.9]}, baselines=baselines)
    assert verdict.text.endswith('No cell beats the baseline "last value" (0.5), which needs no network.')
    beaten = [Baseline(name="last value", score=1.5)]
    assert "baseline" not in verdict_of({"RNN": [5.0, 5.1, 4.9], "LSTM": [1.0, 1.1, 0.9]}, baselines=beaten).text


def test_single_cell_is_compared_with_nothing():
    verdict = verdict_of({"LSTM": [1.0, 1.1, 0.9]})
    assert verdict.winner is None
    assert verdict.text == "LSTM: mse 1, compared with no other cell."


def test_reasons_hold_the_horizon_against_the_needed_lag():
    verdict = verdict_of({"RNN": [5.0, 5.1, 4.9], "LSTM": [1.0, 1.1, 0.9]}, needed_lag=30)
    assert verdict.reasons[0].cell == "LSTM"
    assert verdict.reasons[0].text == (
        "LSTM reached a mean score of 1; its gradient reaches back 20 steps after training (before: 5), "
        "less than the 30 that the task needs."
    )


def test_horizon_of_one_is_a_step_and_no_steps():
    runs = [run_of("RNN", seed, 0.5, horizon=1) for seed in range(3)]
    summary = summarise("RNN", runs, MatchedSize(8, 100))
    assert "reaches back 1 step after training" in explain(summary, runs, task_facts())


def test_metric_sorts_the_best_first_and_what_is_not_finite_last():
    scores = [math.nan, 2.0, 1.0, math.inf]
    assert min(scores, key=MSE.sort_key) == 1.0
    assert min(scores, key=ACCURACY.sort_key) == 2.0
    assert sorted(scores, key=MSE.sort_key)[:2] == [1.0, 2.0]


def test_learning_rate_of_best_validation_is_chosen():
    runs = [run_of("GRU", 0, 0.5, learning_rate=0.01), run_of("GRU", 0, 0.4, learning_rate=0.003)]
    assert choose_learning_rate(runs, MSE) == 0.003
    assert choose_learning_rate(runs, ACCURACY) == 0.01


def test_among_solved_runs_the_quickest_is_chosen():
    runs = [
        run_of("GRU", 0, 0.002, True, learning_rate=0.003, steps=900),
        run_of("GRU", 0, 0.004, True, learning_rate=0.01, steps=300),
        run_of("GRU", 0, 0.001, False, learning_rate=0.03, steps=100),
    ]
    assert choose_learning_rate(runs, MSE) == 0.01


def test_diverged_learning_rate_is_chosen_last():
    runs = [run_of("GRU", 0, math.nan, learning_rate=0.1), run_of("GRU", 0, 9.0, learning_rate=0.01)]
    assert choose_learning_rate(runs, MSE) == 0.01
