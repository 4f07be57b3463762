"""`gatewise report`: draw the report of a run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(run: Annotated[Path, typer.Argument(help="A run's folder: runs/adding-T100.")]) -> None:
    """Draw the report of a finished or interrupted run again from its record."""
    from gatewise.records import open_folder
    from gatewise.report import render_run

    folder = open_folder(run)
    print(folder.write_report(render_run(folder, folder.read_record())))
