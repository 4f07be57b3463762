"""The one tolerance file: how far a number may lie from its reference, per dtype and quantity, and why that far.

The error is scale-free: the largest absolute difference over the largest absolute value of the reference, per tensor.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# float64, eps = 2.2e-16: right implementations differ by the order of their additions, some eps times the root of the
# number of terms (T*N*H < 1200 in problems.py). Measured worst over problems.py: 6e-16 outputs, 1e-15 gradients.
# 1e-12 is what we promise.
# float32, eps = 1.2e-7, error against the float64 result. Measured worst of torch.nn over problems.py: 3.6e-7 for
# outputs, 2.5e-6 for gradients (one unit: sums cancel). About four times that, since fused kernels add in other orders;
# a test also asks that we are as close to the truth as torch is.
TOLERANCES: dict[tuple[torch.dtype, str], float] = {
    (torch.float64, "output"): 1e-12,
    (torch.float64, "gradient"): 1e-12,
    (torch.float64, "jacobian"): 1e-12,
    (torch.float32, "output"): 2e-6,
    (torch.float32, "gradient"): 1e-5,
}


def scale_free_error(actual: Tensor, expected: Tensor) -> float:
    """Return max |actual - expected| / max |expected| over the finite entries; inf if NaN or infinity are elsewhere.

    A reference that is zero everywhere has no scale: the error is then absolute.
    """
    a, e = actual.detach().to(torch.float64), expected.detach().to(torch.float64)
    if not torch.equal(a.isnan(), e.isnan()):
        return float("inf")
    infinite = e.isinf() | a.isinf()
    if not torch.equal(a[infinite], e[infinite]):
        return float("inf")
    finite = e.isfinite()
    if not finite.any():
        return 0.0
    difference = (a[finite] - e[finite]).abs().max().item()
    scale = e[finite].abs().max().item()
    return difference / scale if scale > 0 else difference


def assert_close(actual: Tensor, expected: Tensor, quantity: str, name: str = "") -> None:
    """Fail unless dtype and shape are equal and the scale-free error is within the tolerance for `quantity`."""
    what = name or quantity
    if actual.dtype != expected.dtype:
        raise AssertionError(f"{what}: dtype {actual.dtype}, expected {expected.dtype}")
    if actual.shape != expected.shape:
        raise AssertionError(f"{what}: shape {tuple(actual.shape)}, expected {tuple(expected.shape)}")
    tolerance = TOLERANCES[expected.dtype, quantity]
    error = scale_free_error(actual, expected)
    if not error <= tolerance:
        raise AssertionError(f"{what}: scale-free error {error:.3g}, tolerance {tolerance:.3g}")


def assert_same(actual: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Compare two results by name; names that begin with "grad" are gradients, the rest outputs."""
    if actual.keys() != expected.keys():
        raise AssertionError(f"names differ: {sorted(actual.keys() ^ expected.keys())}")
    for name, value in expected.items():
        assert_close(actual[name], value, "gradient" if name.startswith("grad") else "output", name)


def assert_bit_equal(actual: Tensor, expected: Tensor, name: str = "tensor") -> None:
    """Fail unless dtype, shape and every entry are equal (NaN equals NaN)."""
    if actual.dtype != expected.dtype or actual.shape != expected.shape:
        came, wanted = (f"{value.dtype} {tuple(value.shape)}" for value in (actual, expected))
        raise AssertionError(f"{name}: {came}, expected {wanted}")
    if not torch.equal(actual.isnan(), expected.isnan()) or not torch.equal(actual.nan_to_num(), expected.nan_to_num()):
        raise AssertionError(f"{name}: not bit-equal, scale-free error {scale_free_error(actual, expected):.3g}")


def spoilt(reference: Tensor, by: float = 100.0) -> Tensor:
    """Return the reference with ONE entry, the smallest, moved by `by` tolerances: what a check must notice."""
    changed = reference.detach().clone()
    scale = changed.abs().max().item() or 1.0
    changed.view(-1)[changed.abs().flatten().argmin()] += by * TOLERANCES[reference.dtype, "gradient"] * scale
    return changed


def assert_fails(check: Callable[..., None], *arguments: object) -> None:
    """Negative control: fail unless `check(*arguments)` fails."""
    try:
        check(*arguments)
    except AssertionError:
        return
    raise AssertionError(f"{getattr(check, '__name__', 'check')} accepted a spoilt reference")
