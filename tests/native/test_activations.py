"""exp, tanh and sigmoid keep the error that they state, on every CPU level that this machine can run."""

from collections.abc import Callable
from typing import Any

import activation_truth as truth
import numpy as np
import pytest

from gatewise import _native

pytestmark = [
    pytest.mark.filterwarnings("ignore:(overflow|underflow|invalid value) encountered:RuntimeWarning"),  # in the truth
    pytest.mark.skipif(not _native.cpu_levels(), reason="no native kernels on this machine"),
]

levels = pytest.mark.parametrize("level", _native.cpu_levels())
functions = pytest.mark.parametrize("function", truth.FUNCTIONS)
dtypes = pytest.mark.parametrize("dtype", truth.DTYPES)

FLOAT32_STEP = 1021  # prime, so that every pattern of low bits is met
NUM_FLOAT64 = 12_000


def kernel(function: str, level: str) -> Callable[[truth.Array], truth.Array]:
    return lambda x: getattr(_native, function)(x, level=level)


def edge_values(dtype: type) -> truth.Array:
    """Zeros, the ends of every range, and the numbers beside them."""
    info = np.finfo(dtype)
    ends = [0, info.smallest_subnormal, info.tiny, info.eps, 0.5, 1, np.log(2) / 2, np.log(2), 9.01, 10, 19.06, 20]
    ends += [87.336, 88.7228, 89, 103.97, 104, 708.39, 709.7827, 710, 745.13, 746, info.max]
    positive = np.array(ends, dtype=dtype)
    beside = np.concatenate([positive, np.nextafter(positive, dtype(0)), np.nextafter(positive, dtype(np.inf))])
    return np.concatenate([beside, -beside])


@functions
@levels
def test_float32_error_is_at_most_the_stated(function: truth.Activation, level: str) -> None:
    x = truth.finite_results(function, np.concatenate([truth.every_float32(FLOAT32_STEP), edge_values(np.float32)]))
    error = truth.ulp_error(kernel(function, level)(x), truth.wide_truth(function, x))
    assert error.max() <= _native.max_ulp(function, np.float32), f"at x = {x[error.argmax()]!r}"


@functions
def test_float64_error_is_at_most_the_stated(function: truth.Activation) -> None:
    sampled = truth.sampled_float64(NUM_FLOAT64, seed=0)
    x = truth.finite_results(function, np.concatenate([sampled, edge_values(np.float64)]))
    exact = truth.exact_truth(function, x)
    for level in _native.cpu_levels():
        error = truth.ulp_error(kernel(function, level)(x), exact)
        assert error.max() <= _native.max_ulp(function, np.float64), f"at x = {x[error.argmax()]!r} on {level}"


@functions
@dtypes
def test_error_of_a_spoilt_truth_is_more_than_the_stated(function: truth.Activation, dtype: type) -> None:
    x = truth.finite_results(function, truth.sampled_float64(3000, seed=1).astype(dtype))
    exact = truth.exact_truth(function, x) if dtype is np.float64 else truth.wide_truth(function, x)
    bound = _native.max_ulp(function, dtype)
    spoilt = exact._replace(rest=exact.rest + 2 * bound + 0.5)
    result = kernel(function, _native.cpu_levels()[0])(x)
    assert truth.ulp_error(result, exact).max() <= bound
    assert truth.ulp_error(result, spoilt).min() > bound


@functions
@pytest.mark.parametrize("step", [-1, 1])
def test_one_spoilt_result_among_many_is_noticed(function: truth.Activation, step: int) -> None:
    x = np.linspace(-2, 2, 1001, dtype=np.float32)
    result = kernel(function, _native.cpu_levels()[0])(x)
    for _ in range(4):
        result[617] = np.nextafter(result[617], np.float32(step * np.inf))
    assert truth.ulp_error(result, truth.wide_truth(function, x)).max() > _native.max_ulp(function, np.float32)


SPECIAL_VALUES: dict[truth.Activation, dict[float, float]] = {
    "exp": {np.inf: np.inf, -np.inf: 0.0, 0.0: 1.0},
    "tanh": {np.inf: 1.0, -np.inf: -1.0},
    "sigmoid": {np.inf: 1.0, -np.inf: 0.0, 0.0: 0.5},
}


@functions
@dtypes
@levels
def test_special_values_are_exact(function: truth.Activation, dtype: type, level: str) -> None:
    table = SPECIAL_VALUES[function]
    result = kernel(function, level)(np.array(list(table), dtype=dtype))
    np.testing.assert_array_equal(result, np.array(list(table.values()), dtype=dtype), strict=True)
    nan = np.array([np.nan, -np.nan, np.array(np.inf, dtype) - np.array(np.inf, dtype)], dtype=dtype)
    assert np.isnan(kernel(function, level)(nan)).all()


@dtypes
@levels
def test_tanh_is_odd_and_keeps_the_sign_of_zero(dtype: type, level: str) -> None:
    tanh = kernel("tanh", level)
    x = np.concatenate([edge_values(dtype), np.linspace(-30, 30, 9999, dtype=dtype)])
    assert_same_bits(tanh(-x), -tanh(x))
    assert_same_bits(tanh(np.array([0.0, -0.0], dtype)), np.array([0.0, -0.0], dtype))


@functions
@dtypes
@levels
def test_saturation_is_monotone_and_exact(function: truth.Activation, dtype: type, level: str) -> None:
    info = np.finfo(dtype)
    beyond = np.geomspace(800.0, float(info.max), 500).astype(dtype)
    lowest, highest = {"exp": (0, np.inf), "tanh": (-1, 1), "sigmoid": (0, 1)}[function]
    assert (kernel(function, level)(beyond) == highest).all()
    assert (kernel(function, level)(-beyond) == lowest).all()
    saturating = np.linspace(8, 800, 200_001, dtype=dtype)
    results = kernel(function, level)(np.concatenate([-saturating[::-1], saturating]))
    assert (results >= lowest).all()
    assert (results <= highest).all()
    assert (np.diff(results[results < highest]) >= 0).all()
    assert (np.diff((results == highest).astype(int)) >= 0).all()


@dtypes
@levels
def test_subnormal_results_are_not_flushed(dtype: type, level: str) -> None:
    info = np.finfo(dtype)
    x = np.linspace(np.log(info.smallest_subnormal), np.log(info.tiny), 1000, dtype=dtype)[1:-1]
    for function in ("exp", "sigmoid"):
        result = kernel(function, level)(x)
        assert (result > 0).all()
        assert (result < info.tiny).all()


@functions
@dtypes
@levels
def test_result_is_the_same_bits_at_every_place_of_every_length(
    function: truth.Activation, dtype: type, level: str
) -> None:
    random = np.random.default_rng(0)
    x = random.normal(scale=20, size=160).astype(dtype)
    whole = kernel(function, level)(x)
    alone = np.concatenate([kernel(function, level)(x[i : i + 1]) for i in range(x.size)])
    assert_same_bits(alone, whole)
    for length in range(68):
        for offset in range(17):
            out = np.full(x.size, 7, dtype=dtype)
            getattr(_native, function)(x[offset : offset + length], out=out[offset : offset + length], level=level)
            assert_same_bits(out[offset : offset + length], whole[offset : offset + length])
            assert (out[:offset] == 7).all()
            assert (out[offset + length :] == 7).all()


@functions
@dtypes
def test_out_may_be_the_argument(function: truth.Activation, dtype: type) -> None:
    x = np.linspace(-5, 5, 37, dtype=dtype)
    level = _native.cpu_levels()[0]
    expected = kernel(function, level)(x)
    assert getattr(_native, function)(x, out=x, level=level) is x
    assert_same_bits(x, expected)


def read_only(array: truth.Array) -> truth.Array:
    array.flags.writeable = False
    return array


@functions
@pytest.mark.parametrize(
    ("x", "out", "message"),
    [
        (np.zeros(3), np.zeros(4), "out must be as long as x, 3, got 4"),
        (np.zeros(3), np.zeros(3, np.float32), "out must be a writable contiguous float64 array"),
        (np.zeros(3), read_only(np.zeros(3)), "got a read-only contiguous float64 array"),
        (np.zeros(3), np.zeros(6)[::2], "got a strided float64 array"),
        (np.zeros(3, int), None, "x must be a contiguous float32 or float64 array of shape .n,., got a .* int64"),
        (np.zeros((3, 1)), None, "x must be a contiguous float32 or float64 array of shape .n,., got"),
        (np.zeros(6)[::2], None, "x must be a contiguous float32 or float64 array of shape .n,., got a strided"),
    ],
)
def test_unusable_arrays_are_refused(function: truth.Activation, x: Any, out: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(_native, function)(x, out=out)


def assert_same_bits(actual: truth.Array, expected: truth.Array) -> None:
    assert actual.tobytes() == expected.tobytes()
