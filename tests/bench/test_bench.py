"""What is timed and what is kept of it: structure alone, never a time."""

import statistics
from contextlib import contextmanager
from itertools import pairwise

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from gatewise import _native
from gatewise.bench import (
    BenchRecord,
    BenchSettings,
    Claim,
    Contestant,
    LayerPair,
    Pace,
    Point,
    Size,
    alternate,
    assert_agreement,
    conclusion,
    measure_speed,
    parse_size,
    take_turns,
)
from gatewise.errors import DataError, GatewiseError, UsageError

TINY = Size(3, 4, 5, 6)
BRIEF = Pace(seconds=0.0, min_rounds=3)
needs_kernels = pytest.mark.skipif(_native.cpu_level() == "none", reason="there are no kernels to time")


# ---- sizes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_flops_are_those_that_torch_counts(cell):
    layer = getattr(torch.nn, cell)(TINY.input_size, TINY.hidden_size, dtype=torch.float64)
    with FlopCounterMode(display=False) as counter:  # float64: no fused kernel hides the products
        layer(torch.randn(TINY.num_steps, TINY.num_sequences, TINY.input_size, dtype=torch.float64))
    assert TINY.flops(cell, "inference") == counter.get_total_flops()
    assert TINY.flops(cell, "training") == 3 * TINY.flops(cell, "inference")


def test_flops_of_ragged_batches_count_the_steps_there_are():
    assert TINY.flops("GRU", "training", num_rows=6) * 2 == TINY.flops("GRU", "training")


@pytest.mark.parametrize("text", ["", "1x2x3", "1x2x3x4x5", "1x2x3x0", "1x2x3x-4", "axbxcxd", "1x2x3x999999999"])
def test_size_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="size"):
        parse_size(text)


def test_size_is_read_as_it_is_written():
    assert parse_size(str(TINY)) == TINY


# ---- agreement ---------------------------------------------------------------------------------------------------


def results(error=0.0):
    value = torch.tensor([1.0, -2.0, 0.5])
    return {"output": value + torch.tensor([0.0, 0.0, error])}


def test_agreement_is_relative_to_the_largest_entry():
    assert_agreement("x", results(1e-4), results())  # largest entry 2: 5e-5
    with pytest.raises(GatewiseError, match=r"x disagrees with torch.nn: output differs"):
        assert_agreement("x", results(4e-4), results())


def test_agreement_notices_nan_and_wrong_shapes():
    with pytest.raises(GatewiseError, match="differs by nan"):
        assert_agreement("x", results(float("nan")), results())
    with pytest.raises(GatewiseError, match="shape"):
        assert_agreement("x", {"output": torch.zeros(1, 3)}, results())


@needs_kernels
def test_layers_that_disagree_are_not_timed():
    pair = LayerPair("GRU", TINY)
    pair.contestants("training")
    with torch.no_grad():
        pair.ours.bias_hh_l0 += 0.01
    for job in ("inference", "training"):
        with pytest.raises(GatewiseError, match="nothing was timed"):
            pair.contestants(job)


# ---- turns -------------------------------------------------------------------------------------------------------


def test_contestants_take_turns_in_changing_order(monkeypatch):
    monkeypatch.setattr("gatewise.bench.turns.TURN_S", 0.0)  # a turn is a run that does not count, and one that does
    calls = []
    contestants = [Contestant(name, lambda name=name: calls.append(name)) for name in "abc"]
    samples = take_turns(contestants, Pace(seconds=0.0, min_rounds=40))
    assert {name: len(values) for name, values in samples.items()} == dict.fromkeys("abc", 40)
    turns = calls[6::2]  # past what found out how long a run takes
    rounds = [tuple(turns[k : k + 3]) for k in range(0, len(turns), 3)]
    assert len(rounds) == 40
    assert all(sorted(names) == ["a", "b", "c"] for names in rounds)
    assert len(set(rounds)) == 6  # every order comes up
    assert any(first != second for first, second in pairwise(rounds))


def test_contestants_alternate_run_by_run():
    calls = []
    contestants = [Contestant(name, lambda name=name: calls.append(name)) for name in "ab"]
    samples = alternate(contestants, Pace(seconds=0.0, min_rounds=40))
    assert {name: len(values) for name, values in samples.items()} == {"a": 40, "b": 40}
    assert calls[::2] == calls[1::2]  # each behind itself
    turns = calls[::2]
    rounds = [tuple(turns[k : k + 2]) for k in range(0, len(turns), 2)]
    assert len(rounds) == 40
    assert set(rounds) == {("a", "b"), ("b", "a")}


def test_visits_together_take_what_one_would():
    assert Pace(seconds=12.0, min_rounds=7, max_rounds=150).shared_by(4) == Pace(3.0, min_rounds=2, max_rounds=38)


@pytest.mark.parametrize("measure", [take_turns, alternate])
def test_rounds_are_bounded(measure):
    samples = measure([Contestant("a", lambda: None)], Pace(seconds=60.0, max_rounds=5))
    assert len(samples["a"]) == 5


@pytest.mark.parametrize("measure", [take_turns, alternate])
def test_what_surrounds_a_turn_is_entered_and_left(measure):
    inside = []

    @contextmanager
    def surroundings():
        inside.append(True)
        yield
        inside.pop()

    def run():
        assert inside == [True]

    measure([Contestant("a", run, surroundings), Contestant("b", lambda: None)], BRIEF)
    assert inside == []


# ---- the record --------------------------------------------------------------------------------------------------


@needs_kernels
def test_speed_is_measured_for_each_cell_size_and_job(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    seen = []
    settings = BenchSettings(("RNN", "LSTM"), (TINY, Size(1, 2, 3, 4)), threads=1, pace=BRIEF)
    record = measure_speed(settings, seen.append)
    assert record.points == seen
    assert [(point.cell, point.size, point.job) for point in seen[:3]] == [
        ("RNN", TINY, "inference"),
        ("RNN", TINY, "training"),
        ("RNN", Size(1, 2, 3, 4), "inference"),
    ]
    assert len(seen) == 8
    assert all(set(point.samples) == {"torch.nn", "gatewise"} for point in seen)
    assert all(min(values) > 0 and len(values) >= 3 for point in seen for values in point.samples.values())
    assert record.threads == 1
    assert record.environment["OMP_WAIT_POLICY"] == "passive"
    assert len(record.gemm_flops_per_s) == 4
    record.write(tmp_path / "record.json")
    assert '"schema":1' in (tmp_path / "record.json").read_text()
    assert BenchRecord.read(tmp_path / "record.json") == record


def test_record_of_another_schema_is_refused(tmp_path):
    (tmp_path / "record.json").write_text('{"schema": 2}')
    with pytest.raises(DataError, match="no benchmark record of schema 1"):
        BenchRecord.read(tmp_path / "record.json")


def test_threads_are_as_before_afterwards():
    before = torch.get_num_threads()
    with _native.num_threads(before + 1) as threads:
        assert torch.get_num_threads() == threads == before + 1
    assert torch.get_num_threads() == before


def point(theirs, ours, cell="GRU"):
    claim = Claim(of="torch.nn", over="gatewise", target=1.0)
    return Point(cell=cell, size=TINY, job="training", samples={"torch.nn": theirs, "gatewise": ours}, claims=(claim,))


def test_conclusion_names_what_is_slower_and_counts_what_is_equal():
    noisy = [1.0, 1.3, 0.8, 1.1, 0.9]
    points = [point([4.0] * 5, [1.0] * 5), point([1.0] * 5, [2.0] * 5, "RNN"), point(noisy, noisy[::-1])]
    mean = (4 * 0.5 * statistics.median(noisy) / statistics.median(noisy)) ** (1 / 3)
    assert conclusion(points) == (
        f"gatewise is {mean:.2f} times as fast as torch.nn (geometric mean over 3 points, 0.50 to 4.00); "
        "no difference at 1; slower at RNN 3x4x5x6 training (0.50)."
    )
    assert conclusion(points[:1]).endswith("4.00 to 4.00).")
