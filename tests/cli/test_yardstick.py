"""`gatewise yardstick` from end to end."""

import json

import pytest

from gatewise.records import read_yardstick
from gatewise.yardsticks import YARDSTICKS

FILE = "runs/yardstick-engelken2023/yardstick.json"


def test_without_a_name_all_are_listed(gatewise):
    code, out, _ = gatewise("yardstick")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == list(YARDSTICKS)
    code, out, _ = gatewise("yardstick", "--json")
    assert code == 0
    assert [one["name"] for one in json.loads(out)["yardsticks"]] == list(YARDSTICKS)


def test_quick_run_writes_a_record_and_judges_nothing(gatewise, tmp_path):
    code, out, err = gatewise("yardstick", "engelken2023", "--quick", "--jobs", "1")
    assert code == 0, err
    assert out.startswith("engelken2023: not judged: a quick run\n")
    assert "theirs, read in the abstract only: " in out
    assert f"record: {FILE}" in out
    assert err.splitlines()[0] == "engelken2023: 2 seeds"
    record = read_yardstick(tmp_path / FILE)
    assert record.command == "gatewise yardstick engelken2023 --quick --jobs 1"
    code, page, _ = gatewise("yardstick", "--page", "runs")
    assert code == 0
    assert "## engelken2023" in page
    assert record.claim in page


def test_json_is_the_record(gatewise, tmp_path):
    code, out, err = gatewise("yardstick", "engelken2023", "--quick", "--json")
    assert code == 0, err
    (record,) = json.loads(out)["yardsticks"]
    assert record == json.loads((tmp_path / FILE).read_text())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["engelken2032"], "unknown yardstick 'engelken2032'; did you mean 'engelken2023'?"),
        (["--quick"], "--quick needs the NAME of a yardstick"),
        (["--page", "runs", "--quick"], "--page prints what is already recorded"),
        (["--page", "runs"], "no finished yardstick below runs"),
        (["le2015", "--jobs", "0"], "--jobs"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(gatewise, tmp_path, arguments, expected):
    code, out, err = gatewise("yardstick", *arguments)
    assert (code, out) == (2, "")
    assert expected in err
    assert not (tmp_path / "runs").exists()
