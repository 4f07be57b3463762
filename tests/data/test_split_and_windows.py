"""Where the parts end and where windows lie."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gatewise.data.split import Shares
from gatewise.data.windows import drawn, evenly_spread, first_targets, gather

SHARES = st.sampled_from([Shares(80, 10, 10), Shares(70, 15, 15), Shares(34, 33, 33)])


@given(SHARES, st.integers(0, 10_000))
def test_split_covers_everything_once_in_order(shares: Shares, length: int) -> None:
    split = shares.split(length)
    assert [*split.training, *split.validation, *split.test] == list(range(length))


@pytest.mark.parametrize(("length", "sizes"), [(100, (70, 15, 15)), (732, (512, 110, 110)), (7, (4, 1, 2))])
def test_split_sizes_are_rounded_down_at_the_boundaries(length: int, sizes: tuple[int, int, int]) -> None:
    split = Shares(70, 15, 15).split(length)
    assert (len(split.training), len(split.validation), len(split.test)) == sizes


@given(SHARES, st.tuples(*[st.integers(1, 200)] * 3), st.integers(0, 300))
def test_smallest_length_suffices_from_there_on(shares: Shares, wanted: tuple[int, int, int], more: int) -> None:
    split = shares.split(shares.smallest_length(*wanted) + more)
    parts = (split.training, split.validation, split.test)
    assert all(len(part) >= least for part, least in zip(parts, wanted, strict=True))


def test_smallest_length_is_not_generous() -> None:
    shares = Shares(70, 15, 15)
    smallest = shares.smallest_length(49, 1, 1)
    assert len(shares.split(smallest - 1).training) < 49


@given(st.integers(1, 2000), st.integers(1, 300))
def test_evenly_spread_keeps_the_ends_and_repeats_nothing(count: int, at_most: int) -> None:
    chosen = evenly_spread(range(5, 5 + count), at_most)
    assert len(chosen) == min(count, at_most)
    assert chosen[0] == 5
    if at_most > 1:
        assert chosen[-1] == 4 + count
        steps = chosen.diff()
        assert len(steps) == 0 or (steps.min() >= 1 and steps.max() - steps.min() <= 1)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 60), st.integers(0, 60))
def test_first_targets_are_all_and_only_the_fitting_ones(window: int, horizon: int, start: int, length: int) -> None:
    part = range(start, start + length)
    by_hand = [first for first in part if first >= window and first + horizon <= part.stop]
    assert list(first_targets(part, window, horizon)) == by_hand


def test_drawn_reaches_both_ends_and_repeats_with_the_generator(generator: torch.Generator) -> None:
    state = generator.get_state()
    positions = drawn(range(3, 8), 500, generator)
    assert set(positions.tolist()) == {3, 4, 5, 6, 7}
    assert not torch.equal(positions, drawn(range(3, 8), 500, generator))
    assert torch.equal(positions, drawn(range(3, 8), 500, generator.set_state(state)))


def test_gather_cuts_consecutive_positions() -> None:
    row = torch.arange(20).reshape(10, 2)
    windows = gather(row, torch.tensor([0, 6]), 3)
    assert torch.equal(windows, torch.stack([row[0:3], row[6:9]]))
