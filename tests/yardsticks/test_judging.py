"""Every yardstick's rule on synthetic numbers: it accepts what the claim says and refuses each way of missing it."""

import math

import pytest

from gatewise.yardsticks import YARDSTICKS, Criterion, is_reproduced
from gatewise.yardsticks.engelken import SHARES

LENGTHS = (10, 20, 40, 80)


def spectrum():
    """Return a spectrum that falls by 1 over i/H, the same at both sizes, and read wrongly at equal i."""
    return (
        {"small: largest exponent": 0.3, "large: largest exponent": 0.3}
        | {f"small: at i/H {share:g}": -share for share in SHARES}
        | {f"large: at i/H {share:g}": 0.01 - share for share in SHARES}
        | {f"large: at equal i {share:g}": -share / 2 for share in SHARES}
    )


# What the claim would look like in one seed.
TRUE = {
    "hochreiter1997-adding": {
        "LSTM: solved": 1,
        "LSTM: sequences": 50_000,
        "RNN 0.01: share wrong": 0.8,
        "RNN 0.001: share wrong": 0.9,
    },
    "hochreiter1997-order": {"LSTM: solved": 1, "LSTM: sequences": 20_000},
    "pascanu2013": {f"T = {length}, plain: solved": float(length < 30) for length in LENGTHS}
    | {f"T = {length}, clipped: solved": float(length < 60) for length in LENGTHS},
    "chung2014": {
        "RNN, adding: mse": 0.17,
        "LSTM, adding: mse": 0.01,
        "GRU, adding: mse": 0.01,
        "RNN, text: bits per character": 3.0,
        "LSTM, text: bits per character": 2.5,
        "GRU, text: bits per character": 2.6,
    },
    "jozefowicz2015": {"bias 0: sequences": 90_000, "bias 1: sequences": 30_000, "bias 1: solved": 1},
    "le2015": {"IRNN: solved": 1, "tanh: mse": 0.167},
    "karpathy2015": {"units right-saturated": 0.2, "units left-saturated": 0.05, "line cell: absolute r": 0.8},
    "arjovsky2016": {
        "RNN, long copy: share of baseline": 1.0,
        "LSTM, long copy: share of baseline": 0.99,
        "LSTM, adding: solved": 1,
        "RNN, adding: mse": 0.167,
    },
    "tallec2018": {
        "chrono: off the plateau": 1,
        "chrono: steps on the plateau": 1000,
        "standard: steps on the plateau": 3000,
    },
    "engelken2023": spectrum(),
}

# One number moved to where the claim is no longer true: the rule has to notice.
SPOILT = [
    ("hochreiter1997-adding", "LSTM: solved", 0),
    ("hochreiter1997-adding", "LSTM: sequences", 80_000),
    ("hochreiter1997-adding", "RNN 0.001: share wrong", 0.1),
    ("hochreiter1997-order", "LSTM: solved", 0),
    ("hochreiter1997-order", "LSTM: sequences", 40_000),
    ("pascanu2013", "T = 10, plain: solved", 0),
    ("pascanu2013", "T = 40, plain: solved", 1),
    ("pascanu2013", "T = 40, clipped: solved", 0),
    ("chung2014", "GRU, adding: mse", 0.2),
    ("chung2014", "GRU, text: bits per character", 3.1),
    ("chung2014", "LSTM, text: bits per character", 1.5),
    ("jozefowicz2015", "bias 1: solved", 0),
    ("jozefowicz2015", "bias 1: sequences", 89_000),
    ("le2015", "IRNN: solved", 0),
    ("le2015", "tanh: mse", 0.01),
    ("karpathy2015", "units right-saturated", 0.07),
    ("karpathy2015", "units left-saturated", 0.3),
    ("karpathy2015", "line cell: absolute r", 0.4),
    ("arjovsky2016", "RNN, long copy: share of baseline", 0.5),
    ("arjovsky2016", "LSTM, long copy: share of baseline", 0.5),
    ("arjovsky2016", "LSTM, adding: solved", 0),
    ("arjovsky2016", "RNN, adding: mse", 0.01),
    ("tallec2018", "chrono: off the plateau", 0),
    ("tallec2018", "standard: steps on the plateau", 1100),
    ("engelken2023", "large: largest exponent", -0.1),
    ("engelken2023", "large: at i/H 0.5", -0.8),
]
# What a criterion reads, by yardstick: every one of these as NaN has to be refused, too.
JUDGED = sorted({(name, number) for name, number, _ in SPOILT if "solved" not in number})


def judged(name, numbers):
    """Return the verdict on as many seeds with these numbers as the yardstick has, a little apart from each other."""
    seeds = YARDSTICKS[name].seeds
    runs = [
        {key: value * (1 + 1e-3 * seed) if value not in (0, 1) else value for key, value in numbers.items()}
        for seed in range(len(seeds))
    ]
    return is_reproduced(YARDSTICKS[name].judge(runs), len(runs), is_quick=False)


@pytest.mark.parametrize("name", YARDSTICKS)
def test_what_the_claim_says_is_accepted(name):
    assert judged(name, TRUE[name]) is True


@pytest.mark.parametrize(("name", "number", "wrong"), SPOILT)
def test_what_contradicts_the_claim_is_refused(name, number, wrong):
    assert number in TRUE[name]
    assert judged(name, TRUE[name] | {number: wrong}) is False


@pytest.mark.parametrize(("name", "number"), JUDGED)
def test_seed_without_a_number_does_not_pass(name, number):
    numbers = YARDSTICKS[name].seeds
    runs = [dict(TRUE[name]) for _ in numbers]
    for position in range(len(runs)):
        spoilt = [run | ({number: math.nan} if index == position else {}) for index, run in enumerate(runs)]
        assert is_reproduced(YARDSTICKS[name].judge(spoilt), len(runs), is_quick=False) is False


def test_spectra_that_overlay_at_equal_i_do_not_show_size_invariance():
    numbers = TRUE["engelken2023"] | {f"large: at equal i {share:g}": -share for share in SHARES}
    assert judged("engelken2023", numbers) is False


def test_quick_runs_and_few_seeds_are_never_judged():
    holds = [Criterion("solved", 3, "at least", 3)]
    assert is_reproduced(holds, 3, is_quick=False) is True
    assert is_reproduced(holds, 3, is_quick=True) is None
    assert is_reproduced(holds, 2, is_quick=False) is None


def test_criterion_keeps_to_its_rule_and_refuses_nan():
    assert Criterion("", 1.0, "at least", 1.0).holds
    assert Criterion("", 1.0, "at most", 1.0).holds
    assert not Criterion("", 0.9, "at least", 1.0).holds
    assert not Criterion("", 1.1, "at most", 1.0).holds
    assert not Criterion("", math.nan, "at least", 0.0).holds
    assert not Criterion("", math.nan, "at most", 0.0).holds
