"""benchmarks/performance: what is written from samples, and how other frameworks are invited; nothing is timed."""

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from gatewise.bench import BenchRecord, Claim, Pace, Point, Size

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"
SIZES = Size(1, 2, 3, 4), Size(5, 6, 7, 8)


@pytest.fixture(autouse=True)
def _benchmarks_on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def points(target=3.0, theirs=(4.0, 4.0, 4.0)):
    claim = Claim(of="torch.nn", over="gatewise", target=target)
    samples = {"torch.nn": [1e-3 * value for value in theirs], "gatewise": [2e-3, 2e-3, 2e-3]}
    return [
        Point(cell=cell, size=size, job=job, samples=samples, flops=8 * 10**6, claims=(claim,))
        for cell in ("RNN", "GRU")
        for size in SIZES
        for job in ("inference", "training")
    ]


def record(table="layers", **changes):
    return BenchRecord.of_now(
        table, points(**changes), [8e9], threads=2, versions={"peer": "1.0"}, absent={"x": "gone"}
    )


def written(tmp_path, records):
    from performance import document, layers, ragged

    (tmp_path / "pictures").mkdir(exist_ok=True)
    page = tmp_path / "performance.md"
    if not page.exists():
        page.write_text(f"before\n{document.BEGIN}\nold\n{document.END}\nafter\n")
    document.write(page, [layers.TABLE, ragged.TABLE], records)
    return page.read_text(encoding="utf-8")


def test_page_keeps_what_stands_around_the_tables(tmp_path):
    first = written(tmp_path, [record()])
    assert first.startswith("before\n")
    assert first.endswith("after\n")
    assert "old" not in first
    assert written(tmp_path, [record()]) == first  # writing it again changes nothing


def test_page_prints_the_target_beside_the_figure(tmp_path):
    text = written(tmp_path, [record()])
    assert "| GRU 5x6x7x8 | 4 | 2 | 4 (50 %) | 2.00 (2.00-2.00); ≥ 3: not met by 33 % |" in text
    assert "- torch.nn / gatewise: geometric mean 2.00, target met at 0 of 4" in text
    assert "2 threads a contestant" in text
    assert "peer 1.0" in text
    assert "x was absent: gone" in text
    assert "Sequences of different lengths" not in text  # nobody measured them


def test_page_says_no_difference_where_there_is_none(tmp_path):
    assert ": no difference |" in written(tmp_path, [record(target=1.0, theirs=(1.0, 2.0, 3.0))])
    assert ": no difference |" not in written(tmp_path, [record(target=1.0)])


def test_picture_has_a_mark_for_each_point():
    from performance.picture import ratios_as_svg

    root = ElementTree.fromstring(ratios_as_svg(points()))
    assert len(root.findall("{*}circle")) == len(points())
    assert {label.text for label in root.findall("{*}text")} >= {"RNN 1x2x3x4", "training", "2"}


def test_blocks_are_reordered_by_gate():
    from performance.peers.weights import reorder

    stacked = np.repeat(np.arange(4.0), 3)[:, None] * np.ones(2)  # i f g o, three rows each
    assert reorder(stacked, "ifgo", "iofg")[::3, 0].tolist() == [0, 3, 1, 2]
    assert np.array_equal(reorder(reorder(stacked, "ifgo", "iofg"), "iofg", "ifgo"), stacked)


def test_framework_that_is_not_installed_is_absent(monkeypatch):
    from performance.peers import invite
    from performance.table import Part

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    part = Part("GRU", peers=("onnxruntime",))
    assert invite(part) == []
    assert list(part.absent) == ["onnxruntime"]


def test_every_table_has_its_own_name_and_says_its_aim():
    from performance import double, imports, layers, memory, neighbours, ragged, recording, subnormals

    tables = [m.TABLE for m in (double, imports, layers, memory, neighbours, ragged, recording, subnormals)]
    assert len({table.name for table in tables}) == len(tables)
    assert all("target" in table.text for table in tables)


def test_a_recording_s_point_has_the_rounds_of_all_visits():
    from performance import recording
    from performance.table import Part

    sizes = Size(1, 2, 3, 4), Size(2, 3, 1, 5)
    part = Part("RNN", sizes, Pace(seconds=0.0, min_rounds=2 * recording.VISITS))
    measured = list(recording.measure(part))
    jobs = "training, a recording a step", "training in one recording"
    assert [(point.size, point.job) for point in measured] == [(size, job) for size in sizes for job in jobs]
    for point in measured:
        assert {"plain", *recording.KINDS} <= set(point.samples)
        assert {len(taken) for taken in point.samples.values()} == {2 * recording.VISITS}
