"""A comparison that is interrupted or killed keeps what was finished."""

import signal
import subprocess
import sys
import time

import pytest

from gatewise.records import open_folder

ARGUMENTS = ["compare", "--length", "20", "--hidden-size", "4", "--jobs", "1", "--max-steps", "60", "--out", "run"]
COMMAND = [sys.executable, "-c", "from gatewise.cli.main import main; main()", *ARGUMENTS]


def start_and_wait_for_first_run(folder):
    process = subprocess.Popen(COMMAND, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    record = folder / "run" / "record.json"
    while not record.exists() or '"seed": ' not in record.read_text():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGKILL])
def test_finished_runs_are_kept(signal_number, tmp_path):
    process = start_and_wait_for_first_run(tmp_path)
    process.send_signal(signal_number)
    _, err = process.communicate(timeout=60)
    record = open_folder(tmp_path / "run").read_record()
    assert record.status == "running"
    assert 1 <= len(record.runs) < 12
    assert record.verdict is None
    if signal_number == signal.SIGINT:
        assert process.returncode == 1
        assert err.splitlines()[-1].startswith(f"gatewise: interrupted after {len(record.runs)} of 12 runs")
        assert err.splitlines()[-1].endswith("gatewise report run")
        assert "Traceback" not in err
