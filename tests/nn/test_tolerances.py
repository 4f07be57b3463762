"""The comparison itself: it must fail where it should."""

from __future__ import annotations

import pytest
import torch

from problems import random
from tolerances import (
    TOLERANCES,
    assert_bit_equal,
    assert_close,
    assert_fails,
    assert_same,
    scale_free_error,
    spoilt,
)

NAN, INF = float("nan"), float("inf")
DTYPES = [torch.float64, torch.float32]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_assert_close_is_scale_free(dtype: torch.dtype, scale: float) -> None:
    reference = random((4, 5), 1, dtype) * scale
    tolerance = TOLERANCES[dtype, "output"]
    assert_close(reference, reference.clone(), "output")
    assert_close(reference + 0.5 * tolerance * reference.abs().max(), reference, "output")
    assert_fails(assert_close, reference + 3 * tolerance * reference.abs().max(), reference, "output")
    assert_fails(assert_close, reference - 3 * tolerance * reference.abs().max(), reference, "output")


@pytest.mark.parametrize("dtype", DTYPES)
def test_assert_close_fails_on_one_spoilt_entry(dtype: torch.dtype) -> None:
    reference = random((3, 4), 1, dtype)
    assert int((spoilt(reference) != reference).sum()) == 1
    assert_fails(assert_close, reference, spoilt(reference), "gradient")
    assert_fails(assert_close, torch.zeros(3, dtype=dtype), spoilt(torch.zeros(3, dtype=dtype)), "gradient")


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        ([NAN, 1.0], [2.0, 1.0]),
        ([2.0, 1.0], [NAN, 1.0]),
        ([INF, 1.0], [2.0, 1.0]),
        ([2.0, 1.0], [INF, 1.0]),
        ([INF, 1.0], [-INF, 1.0]),
        ([INF, 1.0], [NAN, 1.0]),
        ([NAN, NAN], [1.0, 1.0]),
        ([INF], [1.0]),
    ],
)
def test_assert_close_fails_on_nan_or_infinity_elsewhere(actual: list[float], expected: list[float]) -> None:
    assert scale_free_error(torch.tensor(actual), torch.tensor(expected)) == INF
    assert_fails(assert_close, torch.tensor(actual), torch.tensor(expected), "output")


def test_assert_close_accepts_nan_and_infinity_in_the_same_places() -> None:
    values = torch.tensor([NAN, INF, -INF, 1.0])
    assert_close(values, values.clone(), "output")
    assert_fails(assert_close, values, torch.tensor([NAN, INF, -INF, 1.1]), "output")


def test_assert_close_fails_on_shape_and_dtype() -> None:
    reference = random((3, 1), 1)
    assert_fails(assert_close, reference.expand(3, 3), reference, "output")
    assert_fails(assert_close, reference.squeeze(1), reference, "output")
    assert_fails(assert_close, reference.float(), reference, "output")
    assert_close(torch.zeros(0, 3), torch.zeros(0, 3), "output")
    assert_fails(assert_close, torch.zeros(0, 3), torch.zeros(0, 4), "output")


def test_assert_close_compares_absolutely_with_a_zero_reference() -> None:
    zero = torch.zeros(3, dtype=torch.float64)
    assert_close(zero, zero, "output")
    assert_fails(assert_close, zero + 1e-9, zero, "output")


def test_assert_same_fails_on_missing_names_and_wrong_values() -> None:
    results = {"output": random((3,), 1), "grad input": random((3,), 2)}
    assert_same(results, dict(results))
    assert_fails(assert_same, results, {"output": results["output"]})
    assert_fails(assert_same, results, results | {"grad input": spoilt(results["grad input"])})


def test_assert_bit_equal_notices_the_last_bit() -> None:
    values = torch.tensor([1.0, NAN])
    assert_bit_equal(values, values.clone())
    assert_fails(assert_bit_equal, values, torch.nextafter(values, torch.tensor(2.0)))
    assert_fails(assert_bit_equal, values, torch.tensor([1.0, 0.0]))
    assert_fails(assert_bit_equal, values, values.double())


def test_assert_fails_fails_when_the_check_passes() -> None:
    with pytest.raises(AssertionError, match="accepted a spoilt reference"):
        assert_fails(assert_close, torch.ones(2), torch.ones(2), "output")


def test_assert_fails_lets_other_errors_through() -> None:
    with pytest.raises(KeyError):
        assert_fails(assert_close, torch.ones(2), torch.ones(2), "no such quantity")
