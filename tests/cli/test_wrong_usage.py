"""A user's mistakes: one clear line, the right exit code, nothing written."""

import pytest

WRONG_USAGE = [
    (["compare", "--cells", "RNN,LSTN"], "unknown cell 'LSTN'; did you mean 'LSTM'?"),
    (["compare", "--cells", "LSTM,lstm"], "cells must be one or more different ones"),
    (["compare", "--seeds", "0"], "--seeds"),
    (["compare", "--hidden-size", "0"], "--hidden-size must be at least 1, got 0"),
    (["compare", "--hidden-size", "1000000000"], "--hidden-size must be at most 16384, got 1000000000"),
    (["compare", "--batch-size", "1000000000"], "--batch-size must be at most 65536"),
    (["compare", "--length", "1000000000"], "adding takes a length of at most 20000 steps"),
    (["compare", "--seeds", "1000000000"], "must be from 1 to 1000, got 1000000000"),
    (["train", "--seed", "99999999999999999999999"], "seeds must be different numbers from 0 to 2^63 - 1"),
    (["compare", "--max-steps", "-5"], "--max-steps must be at least 1, got -5"),
    (["compare", "--learning-rate", "-1"], "learning rates must be positive and all different"),
    (["compare", "--learning-rate", "nan"], "learning rates must be positive and all different"),
    (
        ["compare", "--learning-rate", "0.01", "--learning-rate", "0.01"],
        "learning rates must be positive and all different, got 0.01, 0.01",
    ),
    (["compare", "--window", "0"], "--window is for tables"),
    (["compare", "--time-budget", "0"], "--time-budget must be more than 0 seconds"),
    (["compare", "--match", "weight"], "weight"),
    (["compare", "--jobs", "0"], "--jobs must be at least 1"),
    (["compare", "--force"], "--force goes with --out"),
    (["compare", "--target", "x"], "--target is for tables"),
    (["compare", "--length", "1"], "adding needs a length of at least 2 steps, got 1"),
    (["compare", "addding"], "did you mean 'adding'?"),
    (["compare", "no-such-book.txt"], "no-such-book.txt"),
    (["compare", "--out", "."], "exists"),
    (["train", "--cell", "gruu"], "unknown cell 'gruu'; did you mean 'GRU'?"),
    (["train", "--seed", "-1"], "seeds must be different numbers from 0 to 2^63 - 1"),
    (["report", "nowhere"], "is not a run"),
    (["comparr"], "comparr"),
    (["compare", "--hiden-size", "3"], "--hiden-size"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG_USAGE, ids=lambda value: " ".join(value)[:40])
def test_wrong_usage_is_named_and_exits_with_2(gatewise, tmp_path, arguments, message):
    code, out, err = gatewise(*arguments)
    assert code == 2
    assert out == ""
    assert message in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path.name


def test_table_without_target_lists_the_numeric_columns(gatewise, tmp_path):
    name = write(tmp_path / "t.csv", "day,load,note\n" + "\n".join(f"{d},{d % 7},x" for d in range(200)))
    code, _, err = gatewise("compare", name)
    assert code == 2
    assert "load" in err
    assert "--target" in err
    assert len(err.splitlines()) == 1


def test_gap_in_the_target_is_a_failure_that_names_the_row(gatewise, tmp_path):
    rows = [f"{d},{'' if d == 150 else d % 7}" for d in range(200)]
    name = write(tmp_path / "t.csv", "day,load\n" + "\n".join(rows))
    code, _, err = gatewise("compare", name, "--target", "load")
    assert code == 1
    assert "row 151" in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_existing_out_is_left_alone(gatewise, tmp_path):
    (tmp_path / "thesis").mkdir()
    write(tmp_path / "thesis" / "chapter.txt", "years of work")
    for arguments in (["--out", "thesis"], ["--out", "thesis", "--force"]):
        code, _, err = gatewise("compare", *arguments)
        assert code == 2
        assert "thesis exists" in err
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


def test_out_below_a_file_cannot_be_written(gatewise, tmp_path):
    write(tmp_path / "file", "")
    code, _, err = gatewise("compare", "--out", "file/run")
    assert code == 1
    assert "cannot write file/run" in err


def test_control_characters_are_shown_and_not_sent(gatewise, tmp_path):
    name = write(tmp_path / "t.csv", "day,lo\x1b[31mad\n" + "\n".join(f"{d},{d % 7}" for d in range(200)))
    code, _, err = gatewise("compare", name, "--target", "nope")
    assert code == 2
    assert "\x1b" not in err
    assert "lo\\x1b[31mad" in err
