"""docs/yardsticks.md is what its records say, and the records are judged by the rules that stand in the code."""

from pathlib import Path

import pytest

from gatewise.yardsticks import YARDSTICKS
from gatewise.yardsticks.page import read_records, render_page

DOCS = Path(__file__).parent.parent.parent / "docs"
RECORDS = read_records(DOCS / "yardsticks")


def test_page_is_generated_from_the_records():
    assert (DOCS / "yardsticks.md").read_text(encoding="utf-8") == render_page(RECORDS)


def test_every_yardstick_is_on_the_page():
    assert [record.name for record in RECORDS] == list(YARDSTICKS)


@pytest.mark.parametrize("record", RECORDS, ids=[record.name for record in RECORDS])
def test_record_says_what_the_code_says(record):
    yardstick = YARDSTICKS[record.name]
    said = (record.source, record.claim, record.theirs, record.theirs_known_from, record.ours, record.judged)
    theirs = yardstick.theirs
    assert said == (
        yardstick.source, yardstick.claim, theirs.text, theirs.known_from, yardstick.ours, yardstick.judged
    )  # fmt: skip
    if record.quick is not None:
        assert (record.quick, record.criteria, record.reproduced) == (yardstick.quick, [], None)
        return
    assert tuple(run.seed for run in record.runs) == yardstick.seeds
    judged = yardstick.judge([run.numbers for run in record.runs])
    assert [(one.text, one.rule, one.threshold, one.holds) for one in record.criteria] == [
        (one.text, one.rule, one.threshold, one.holds) for one in judged
    ]
    assert [one.statistic for one in record.criteria] == pytest.approx([one.statistic for one in judged])
    assert record.reproduced is all(one.holds for one in judged)
