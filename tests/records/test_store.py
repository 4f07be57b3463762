"""The run folder: what is written is read back, and nothing is lost or half-written."""

import json
import math
import os

import numpy as np
import pytest

from gatewise.errors import DataError, GatewiseError, UsageError
from gatewise.records import FlowCurve, MetricRow, RunFlow, create_exact_folder, create_folder, open_folder
from gatewise.records.atomic import write_bytes, write_text


def test_write_replaces_whole_files_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")
    write_text(path, "new, with umlaut ü")
    assert path.read_text(encoding="utf-8") == "new, with umlaut ü"
    assert [file.name for file in tmp_path.iterdir()] == ["file.txt"]


def test_failed_write_keeps_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "file.bin"
    write_bytes(path, b"old")

    def fail(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["file.bin"]


def test_written_file_has_the_users_usual_permissions(tmp_path):
    write_bytes(tmp_path / "ours", b"")
    (tmp_path / "theirs").touch()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "theirs").stat().st_mode


def test_taken_names_get_numbers(tmp_path):
    names = [create_folder(tmp_path / "runs", "adding-T100").path.name for _ in range(3)]
    assert names == ["adding-T100", "adding-T100-2", "adding-T100-3"]


@pytest.mark.parametrize(
    ("name", "expected"), [("a b/c", "a-b-c"), ("../../etc", "etc"), ("", "run"), ("größe", "größe")]
)
def test_names_become_fit_for_a_folder(name, expected, tmp_path):
    assert create_folder(tmp_path, name).path == tmp_path / expected


def test_exact_folder_is_never_replaced_without_force(tmp_path):
    path = tmp_path / "out"
    create_exact_folder(path, force=False)
    (path / "record.json").write_text("{}")
    with pytest.raises(UsageError, match="exists; choose another --out, or --force"):
        create_exact_folder(path, force=False)
    assert (path / "record.json").exists()
    create_exact_folder(path, force=True)
    assert list(path.iterdir()) == []


def test_force_replaces_a_run_that_ended_before_its_record(tmp_path):
    path = tmp_path / "out"
    path.mkdir()
    (path / "config.toml").write_text("")
    create_exact_folder(path, force=True)
    assert list(path.iterdir()) == []


def test_force_refuses_what_is_not_a_run(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="is not a run of Gatewise"):
        create_exact_folder(tmp_path, force=True)
    with pytest.raises(UsageError, match="is not a run of Gatewise"):
        create_exact_folder(tmp_path / "thesis.txt", force=True)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(GatewiseError, match="cannot write"):
        create_exact_folder(tmp_path / "file" / "out", force=False)
    with pytest.raises(GatewiseError, match="file"):
        create_folder(tmp_path / "file", "name")


def test_flow_is_read_back(tmp_path):
    folder = create_folder(tmp_path, "run")
    curve = FlowCurve(np.arange(4), np.array([[0.0, -1.0, -math.inf, math.nan]]))
    flow = [
        RunFlow("RNN", 0, curve, curve, None),
        RunFlow("LSTM", 12, curve, curve, np.array([[1.0, math.inf]])),
    ]
    folder.write_flow(flow)
    read = folder.read_flow()
    assert [(run.cell, run.seed) for run in read] == [("RNN", 0), ("LSTM", 12)]
    np.testing.assert_array_equal(read[1].after.log_norm, curve.log_norm)
    np.testing.assert_array_equal(read[1].half_life, [[1.0, math.inf]])
    assert read[0].half_life is None


def test_metrics_are_read_back(tmp_path):
    folder = create_folder(tmp_path, "run")
    row = MetricRow(
        cell="GRU",
        seed=1,
        learning_rate=0.01,
        step=50,
        training_loss=0.3,
        validation_score=math.nan,
        gradient_norm=math.inf,
        seconds=1.5,
    )
    folder.write_metrics([row, row.model_copy(update={"step": 100})])
    read = folder.read_metrics()
    assert [metric.step for metric in read] == [50, 100]
    assert math.isnan(read[0].validation_score)
    assert math.isnan(read[0].gradient_norm)  # JSON has neither NaN nor infinity; both come back as NaN
    assert "null" in (folder.path / "metrics.jsonl").read_text()


def test_what_a_monitor_saw_is_read_back_and_older_rows_have_none(tmp_path):
    folder = create_folder(tmp_path, "run")
    row = MetricRow(
        cell="GRU", seed=1, learning_rate=0.01, step=50, training_loss=1.0, validation_score=1.0, gradient_norm=1.0,
        seconds=1.0, flow={"recurrent/l0/horizon": 7.0, "recurrent/l0/slope": math.nan},
    )  # fmt: skip
    folder.write_metrics([row])
    (read,) = folder.read_metrics()
    assert read.flow["recurrent/l0/horizon"] == 7
    assert math.isnan(read.flow["recurrent/l0/slope"])
    older = json.loads((folder.path / "metrics.jsonl").read_text())
    del older["flow"]
    (folder.path / "metrics.jsonl").write_text(json.dumps(older) + "\n")
    assert folder.read_metrics() == [row.model_copy(update={"flow": None})]


def test_empty_lists_are_read_back(tmp_path):
    folder = create_folder(tmp_path, "run")
    folder.write_metrics([])
    folder.write_flow([])
    assert folder.read_metrics() == []
    assert folder.read_flow() == []


def test_folder_without_record_is_not_a_run(tmp_path):
    with pytest.raises(UsageError, match=r"is not a run: it has no record\.json"):
        open_folder(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema": 99}', "schema version 99; this Gatewise reads version 1"),
        ('{"schema": 1}', "not a complete run record"),
        ("{", "not a complete run record"),
        ("[]", "not a complete run record"),
    ],
)
def test_damaged_record_is_one_line(text, message, tmp_path):
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(DataError, match=message) as raised:
        open_folder(tmp_path).read_record()
    assert "\n" not in str(raised.value)


def test_damaged_flow_is_one_line(tmp_path):
    (tmp_path / "record.json").write_text(json.dumps({}))
    (tmp_path / "flow.npz").write_bytes(b"not an archive")
    with pytest.raises(DataError, match=r"flow\.npz cannot be read"):
        open_folder(tmp_path).read_flow()
