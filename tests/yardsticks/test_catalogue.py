"""Every yardstick says what it needs to say; the page and the record are made of that and of nothing else."""

import math
import re

import pytest
import torch

from gatewise.errors import DataError, UsageError
from gatewise.records import YARDSTICK_FILE, read_yardstick
from gatewise.tasks import Adding
from gatewise.yardsticks import YARDSTICKS
from gatewise.yardsticks.hochreiter_adding import ToleratedAdding
from gatewise.yardsticks.karpathy import line_correlation, line_positions
from gatewise.yardsticks.measure import measure
from gatewise.yardsticks.page import read_records, render_page
from gatewise.yardsticks.yardstick import Criterion, Theirs, Yardstick


class Coin(Yardstick):
    """A yardstick that is done at once, so that running and recording can be tested."""

    name = "coin2000"
    source = "Coin (2000), arXiv:0000.00000"
    claim = "The seed is the number."
    theirs = Theirs("heads", "memory")
    ours = "one toss"
    judged = "the largest is at least 2"
    quick = "one seed"

    def run(self, seed, is_quick=False):
        return {"toss": float(seed), "threads": float(torch.get_num_threads()), "coin: solved": float(seed > 0)}

    def judge(self, runs):
        return [Criterion("largest", max(run["toss"] for run in runs), "at least", 2.0)]


def coin_record(folder, is_quick=False):
    folder.mkdir(exist_ok=True)
    return measure(Coin(), is_quick, folder, "gatewise yardstick coin2000", jobs=2)


@pytest.mark.parametrize("yardstick", YARDSTICKS.values(), ids=YARDSTICKS)
def test_yardstick_names_its_source_and_is_judged_over_three_seeds_or_more(yardstick):
    assert re.search(r"arXiv:\d{4}\.\d{4,5}|doi:10\.\d{4,}/\S+|proceedings\.mlr\.press", yardstick.source)
    assert re.match(r"[a-z]+\d{4}(-[a-z]+)?$", yardstick.name)
    assert yardstick.name[-4:] in yardstick.source or re.search(r"\d{4}", yardstick.name).group() in yardstick.source
    assert all(text.strip() for text in (yardstick.claim, yardstick.ours, yardstick.judged, yardstick.quick))
    assert yardstick.theirs.known_from in ("paper", "abstract", "memory")
    assert len(set(yardstick.seeds)) >= 3
    assert set(yardstick.quick_seeds) <= set(yardstick.seeds)


def test_record_holds_every_seed_in_order_and_is_read_back(tmp_path):
    record = coin_record(tmp_path / "coin")
    assert record.status == "complete"
    assert [run.seed for run in record.runs] == [0, 1, 2]
    assert [run.numbers["toss"] for run in record.runs] == [0.0, 1.0, 2.0]
    assert {run.numbers["threads"] for run in record.runs} == {1.0}
    assert record.reproduced is True
    assert record.machine.processor
    assert record.machine.packages["torch"]
    assert read_yardstick(tmp_path / "coin" / YARDSTICK_FILE) == record


def test_quick_record_is_not_judged_and_says_what_was_reduced(tmp_path):
    record = coin_record(tmp_path / "coin", is_quick=True)
    assert (record.reproduced, record.criteria, record.quick) == (None, [], "one seed")


def test_damaged_or_foreign_record_is_refused_in_one_line(tmp_path):
    path = tmp_path / YARDSTICK_FILE
    for content, expected in (('{"schema": 99}', "schema version 99"), ("{", "not a yardstick's record")):
        path.write_text(content)
        with pytest.raises(DataError, match=expected) as caught:
            read_yardstick(path)
        assert "\n" not in str(caught.value)


def test_page_keeps_theirs_apart_from_ours_and_prefers_the_full_run(tmp_path):
    coin_record(tmp_path / "a")
    coin_record(tmp_path / "b", is_quick=True)
    (record,) = read_records(tmp_path)
    assert record.quick is None
    page = render_page([record])
    assert "- Theirs, from memory and not checked: heads." in page
    assert "- Ours: one toss." in page
    assert "**reproduced**" in page
    assert "| toss | 1 (0 to 2) |" in page
    assert "| coin: solved | in 2 of 3 seeds |" in page
    failed = record.model_copy(
        update={"reproduced": False, "criteria": [record.criteria[0].model_copy(update={"holds": False})]}
    )
    assert "**NOT reproduced: 1 of 1 criteria fail**" in render_page([failed])


def test_page_without_records_says_what_to_do(tmp_path):
    with pytest.raises(UsageError, match="gatewise yardstick all"):
        read_records(tmp_path)


def test_answer_within_the_tolerance_of_1997_counts_as_right():
    task = ToleratedAdding(10)
    targets = task.test().targets
    assert len(targets) == 2560
    errors = torch.zeros_like(targets)
    errors[0], errors[1] = 0.079, -0.081
    assert task.score(targets + errors, targets) == 1 / 2560
    assert task.score(targets - 0.081, targets) == 1.0
    assert not torch.equal(task.validation().inputs, task.test().inputs)
    assert Adding(10).goal != task.goal


def test_line_cell_is_chosen_on_one_half_and_measured_on_the_other():
    positions = line_positions(("x" * 7 + "\n") * 20 + "yy\n" * 40)
    assert positions[:9].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 0]
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(len(positions), 5, generator=generator, dtype=torch.float64)
    follows = noise.clone()
    follows[:, 3] = 1 - 2 * positions
    assert line_correlation(follows, positions) == pytest.approx(1.0)
    only_first_half = follows.clone()
    only_first_half[len(positions) // 2 :, 3] = noise[len(positions) // 2 :, 3]
    assert line_correlation(only_first_half, positions) < 0.4
    still = torch.zeros(len(positions), 2, dtype=torch.float64)
    assert line_correlation(still, positions) == 0.0


def test_page_says_numbers_in_groups_and_names_what_is_not_finite(tmp_path):
    record = coin_record(tmp_path / "coin")
    for tosses, said in (
        ((12_000.0, 80_000.0, 74_000.0), "74 000 (12 000 to 80 000)"),
        ((0.123456, math.nan, 5e27), "2.5e+27 (0.123 to 5e+27), 1 not finite"),
        ((math.nan, math.nan, math.nan), "no finite number"),
    ):
        runs = [
            run.model_copy(update={"numbers": run.numbers | {"toss": toss}})
            for run, toss in zip(record.runs, tosses, strict=True)
        ]
        assert f"| toss | {said} |" in render_page([record.model_copy(update={"runs": runs})])
