"""Numbers as a reader wants them: significant digits, thin thousands separators, a real minus sign."""

from __future__ import annotations

from math import floor, isfinite, isnan, log10

THIN_SPACE = "\u202f"  # narrow and non-breaking: a number never splits over two lines
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
SMALLEST_DECIMAL_EXPONENT, LARGEST_DECIMAL_EXPONENT = -4, 5  # outside, numbers are written with a power of ten


def number(value: float, digits: int = 3) -> str:
    """Return `value` with `digits` significant digits.

    >>> number(0.0012345), number(0.000012345), number(-1.5, 2)
    ('0.00123', '1.23 × 10⁻⁵', '−1.5')
    """
    if isnan(value):
        return "not a number"
    if not isfinite(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    exponent = _exponent(value, digits)
    if not SMALLEST_DECIMAL_EXPONENT <= exponent <= LARGEST_DECIMAL_EXPONENT:
        return f"{_fixed(value / 10.0**exponent, digits - 1)} × {power_of_ten(exponent)}"
    return _fixed(value, digits - 1 - exponent)


def plain_number(value: float) -> str:
    """Return a number that somebody chose, as they would write it.

    >>> plain_number(0.003), plain_number(1.0), plain_number(1e-5)
    ('0.003', '1', '1 × 10⁻⁵')
    """
    text = number(value, 6)
    mantissa, times, power = text.partition(" × ")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return mantissa + times + power


def count(value: int) -> str:
    """Return a whole number in groups of three digits.

    >>> count(12345).replace(THIN_SPACE, "_")
    '12_345'
    """
    return _fixed(value, 0)


def plus_minus(mean: float, std: float) -> str:
    """Return mean and standard deviation with the same decimals: three to five significant digits of the mean.

    >>> plus_minus(0.166549, 0.00123), plus_minus(2.345e-6, 4e-7)
    ('0.1665 ± 0.0012', '(2.35 ± 0.40) × 10⁻⁶')
    """
    if not (isfinite(mean) and isfinite(std)):
        return f"{number(mean)} ± {number(std)}"
    exponent = _exponent(mean, 3) if mean else 0
    if not SMALLEST_DECIMAL_EXPONENT <= exponent <= LARGEST_DECIMAL_EXPONENT:
        scale = 10.0**exponent
        return f"({plus_minus(mean / scale, std / scale)}) × {power_of_ten(exponent)}"
    decimals_of_std = 1 - _exponent(std, 2) if std else 0
    decimals = min(max(decimals_of_std, 2 - exponent), 4 - exponent)
    return f"{_fixed(mean, decimals)} ± {_fixed(std, decimals)}"


def steps(value: float) -> str:
    """Return a number of steps: whole from ten on, one decimal below.

    >>> steps(4.25), steps(99.0), steps(7.0)
    ('4.2', '99', '7')
    """
    if not isfinite(value):
        return number(value)
    return count(round(value)) if value >= 10 or value == round(value) else _fixed(value, 1)


def duration(seconds: float) -> str:
    """Return a time in the units that suit it.

    >>> [duration(s).replace(THIN_SPACE, " ") for s in (0.21, 7.4, 42.0, 245.0, 4320.0)]
    ['0.21 s', '7.4 s', '42 s', '4 min 05 s', '1 h 12 min']
    """
    if not isfinite(seconds):
        return number(seconds)
    whole = round(seconds)
    if whole >= 3600:
        return f"{count(whole // 3600)}{THIN_SPACE}h {whole % 3600 // 60:02d}{THIN_SPACE}min"
    if whole >= 60:
        return f"{whole // 60}{THIN_SPACE}min {whole % 60:02d}{THIN_SPACE}s"
    return f"{number(seconds, 2)}{THIN_SPACE}s"


def power_of_ten(exponent: int) -> str:
    """Return ten to a whole power.

    >>> power_of_ten(-12), power_of_ten(0)
    ('10⁻¹²', '10⁰')
    """
    return "10" + str(exponent).translate(SUPERSCRIPTS)


def _exponent(value: float, digits: int) -> int:
    """Return the power of ten of the leading digit, after rounding to `digits` digits (0.9996 rounds to 1.00)."""
    return floor(log10(abs(float(f"{value:.{digits - 1}e}"))))


def _fixed(value: float, decimals: int) -> str:
    return f"{value:,.{max(decimals, 0)}f}".replace(",", THIN_SPACE).replace("-", "−")
