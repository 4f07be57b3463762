"""Running the command line inside the test's process."""

import sys

import pytest

from gatewise.cli.main import main


@pytest.fixture
def gatewise(monkeypatch, tmp_path, capsys):
    """Return a function that runs `gatewise ARGUMENTS` in an empty folder and returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["gatewise", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
