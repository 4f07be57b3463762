"""One yardstick really run, small: its numbers are those of its seed."""

from gatewise.yardsticks import YARDSTICKS


def test_quick_spectra_are_repeatable_and_depend_on_the_seed():
    yardstick = YARDSTICKS["engelken2023"]
    first, again, other = (yardstick.run(seed, is_quick=True) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert first["small: at i/H 0.05"] > first["small: at i/H 0.9"]
    assert set(yardstick.shown) <= set(first)
