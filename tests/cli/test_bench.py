"""`gatewise bench`: what it prints, and what it refuses; never a time."""

import json
import subprocess
import sys

import pytest
import torch

from gatewise import _native
from gatewise.bench.turns import TOLERANCES

needs_kernels = pytest.mark.skipif(_native.cpu_level() == "none", reason="there are no kernels to time")
TINY = ["bench", "--quick", "--cells", "RNN,GRU", "--sizes", "2x3x4x5", "--threads", "1"]


@needs_kernels
def test_bench_prints_a_table_and_a_sentence(gatewise, tmp_path):
    code, out, err = gatewise(*TINY)
    assert code == 0, err
    assert "1 thread, " in out.splitlines()[0]
    for job in ("inference", "training"):
        for cell in ("RNN", "GRU"):
            assert sum(line.split()[:3] == [cell, "2x3x4x5", job] for line in out.splitlines()) == 1
    assert out.splitlines()[-1].startswith("gatewise is ")
    assert max(map(len, out.splitlines()[1:-1])) <= 80
    assert err.splitlines()[-1] == "[4/4] GRU 2x3x4x5 training"
    assert list(tmp_path.iterdir()) == []


@needs_kernels
def test_bench_prints_json_for_machines(gatewise):
    code, out, _ = gatewise(*TINY, "--json")
    assert code == 0
    record = json.loads(out)
    assert record["schema"] == 1
    assert record["threads"] == 1
    assert record["machine"]["cpu_level"] == _native.cpu_level()
    assert [point["size"] for point in record["points"]] == [[2, 3, 4, 5]] * 4
    assert set(record["points"][0]["samples"]) == {"torch.nn", "gatewise"}


WRONG = [
    (["--cells", "LSTN"], "unknown cell 'LSTN'; did you mean 'LSTM'?"),
    (["--cells", "GRU,GRU"], "cells must be one or more different ones"),
    (["--sizes", "8x200x32"], "a size is NxTxIxH"),
    (["--sizes", "8x200x32x0"], "must be from 1"),
    (["--threads", "0"], "--threads must be from 1 to the"),
    (["--threads", "9999"], "--threads must be from 1 to the"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=lambda value: " ".join(value)[:30])
def test_wrong_usage_is_named(gatewise, arguments, message):
    code, out, err = gatewise("bench", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_disagreement_is_a_failure(gatewise, monkeypatch):
    monkeypatch.setitem(TOLERANCES, torch.float32, -1.0)  # which no result can meet
    code, out, err = gatewise(*TINY)
    assert (code, out) == (1, "")
    assert "nothing was timed" in err


def test_help_imports_nothing_heavy():
    script = (
        "import sys; sys.argv = ['gatewise', 'bench', '--help']\n"
        "from gatewise.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "--quick" in done.stdout
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert loaded.isdisjoint({"torch", "numpy", "pydantic", "rich"})
