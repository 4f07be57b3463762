"""The bootstrap on samples whose answer is known, and the verdicts that follow from it."""

import numpy as np
import pytest

from gatewise.bench import Claim, Point, geometric_mean, judge, median_difference, median_ratio, ratio_of_medians


def lognormal(median, sigma, rounds, seed):
    return list(median * np.exp(sigma * np.random.default_rng(seed).standard_normal(rounds)))


def test_ratio_without_noise_is_exact():
    estimate = ratio_of_medians([3.0] * 9, [2.0] * 9)
    assert (estimate.low, estimate.value, estimate.high) == (1.5, 1.5, 1.5)


def test_median_ratio_without_noise_is_exact():
    estimate = median_ratio([3.0] * 9, [2.0] * 9)
    assert (estimate.low, estimate.value, estimate.high) == (1.5, 1.5, 1.5)


def test_median_ratio_is_no_ratio_of_medians():
    of, over = [1.0, 4.0, 6.0], [1.0, 2.0, 6.0]
    assert (median_ratio(of, over).value, ratio_of_medians(of, over).value) == (1.0, 2.0)


def test_difference_without_noise_is_exact():
    estimate = median_difference([3.0] * 9, [2.5] * 9)
    assert (estimate.low, estimate.value, estimate.high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("estimate", "more", "expected"),
    [(median_difference, np.add, 0.01), (median_ratio, np.multiply, 1.01)],
    ids=["difference", "ratio"],
)
def test_what_is_taken_round_by_round_is_of_the_same_round(estimate, more, expected):
    shared = np.array(lognormal(1.0, 0.5, 41, 7))  # far more from round to round than between the two
    of = list(more(shared, expected))
    paired = estimate(of, list(shared))
    assert (paired.low, paired.value, paired.high) == pytest.approx((expected, expected, expected))
    shuffled = estimate(of, list(np.random.default_rng(8).permutation(shared)))
    assert shuffled.high - shuffled.low > 0.1


def test_interval_is_that_of_the_normal_approximation():
    # The logarithm of a median of n log-normal samples has the standard deviation sigma * sqrt(pi / 2n); two of them
    # are subtracted, so the interval of the ratio's logarithm is 1.96 * sqrt(2) times that to either side.
    rounds, sigma = 400, 0.1
    estimate = ratio_of_medians(lognormal(2.0, sigma, rounds, 1), lognormal(1.0, sigma, rounds, 2))
    half_width = np.log(estimate.high / estimate.low) / 2
    expected = 1.96 * np.sqrt(2) * sigma * np.sqrt(np.pi / (2 * rounds))
    assert half_width == pytest.approx(expected, rel=0.25)
    assert half_width != pytest.approx(expected / np.sqrt(2), rel=0.25)  # as if one of the two did not vary


@pytest.mark.parametrize(("ratio", "expected"), [(1.0, 0.95), (1.1, 0.0)])
def test_interval_contains_one_as_often_as_it_promises(ratio, expected):
    contained = [
        ratio_of_medians(lognormal(ratio, 0.05, 60, 2 * k), lognormal(1.0, 0.05, 60, 2 * k + 1)).contains(1.0)
        for k in range(100)
    ]
    assert np.mean(contained) == pytest.approx(expected, abs=0.06)


def test_noise_shared_by_a_round_does_not_widen_the_interval():
    shared = np.array(lognormal(1.0, 0.5, 40, 3))
    paired = ratio_of_medians(list(2 * shared), list(shared))
    assert paired.high - paired.low < 1e-9
    shuffled = ratio_of_medians(list(2 * shared), list(np.random.default_rng(4).permutation(shared)))
    assert shuffled.high - shuffled.low > 0.3


def test_interval_is_the_same_every_time():
    samples = lognormal(2.0, 0.2, 30, 5), lognormal(1.0, 0.2, 30, 6)
    assert ratio_of_medians(*samples) == ratio_of_medians(*samples)
    assert ratio_of_medians(*samples) != ratio_of_medians(*samples, seed=1)


@pytest.mark.parametrize("samples", [([1.0], [1.0, 2.0]), ([], [])])
def test_samples_that_are_no_rounds_are_refused(samples):
    with pytest.raises(ValueError, match="same number of samples"):
        ratio_of_medians(*samples)


def test_geometric_mean_of_a_ratio_and_its_inverse_is_one():
    assert geometric_mean([4.0, 0.25]) == pytest.approx(1.0)


# ---- verdicts ----------------------------------------------------------------------------------------------------


def verdict(of, over, **claim):
    claim = Claim(of="a", over="b", **claim)
    return judge(Point(cell="GRU", job="training", samples={"a": of, "b": over}, claims=(claim,)), claim)


@pytest.mark.parametrize(
    ("claim", "of", "text"),
    [
        ({"target": 2.0}, 3.0, "met by 50 %"),
        ({"target": 4.0}, 3.0, "not met by 25 %"),
        ({"target": 4.0, "bound": "at most"}, 3.0, "met by 25 %"),
        ({"target": 2.0, "bound": "at most"}, 3.0, "not met by 50 %"),
        ({"target": 4.0, "bound": "at most", "statistic": "difference"}, 3.0, "met by 50 %"),
        ({"target": 3.0}, 3.0, "met by 0 %, within the noise"),
        ({}, 3.0, ""),
    ],
)
def test_verdict_says_by_how_much(claim, of, text):
    assert verdict([of] * 5, [1.0] * 5, **claim).text == text


def test_no_difference_is_said_only_where_the_interval_contains_one():
    noisy = lognormal(1.0, 0.2, 20, 7)
    assert verdict(noisy, lognormal(1.0, 0.2, 20, 8)).is_no_difference
    assert not verdict([2 * sample for sample in noisy], noisy).is_no_difference
    assert not verdict(noisy, noisy, statistic="difference").is_no_difference  # 1 means nothing there
