"""What the pages say: the list of runs, and the report of one as it stands at this moment."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template

from gatewise.errors import GatewiseError
from gatewise.records import Record, RunFolder
from gatewise.records.store import RECORD_FILE
from gatewise.report import render_run


def index_page(runs: Path) -> str:
    """Return the list of the runs below `runs`, the newest first; one that cannot be read stands with the reason."""
    entries: list[tuple[str, Record | None, str]] = []
    for path in runs.iterdir():
        if (path / RECORD_FILE).is_file():
            try:
                entries.append((path.name, RunFolder(path).read_record(), ""))
            except GatewiseError as error:
                entries.append((path.name, None, str(error)))
    entries.sort(key=lambda entry: entry[1].created if entry[1] else "", reverse=True)
    return _index_template().render(folder=str(runs), entries=entries)


def report_page(run: Path) -> tuple[str, bool]:
    """Return the report of one run drawn from what is on the disk now, and whether the run is still under way."""
    folder = RunFolder(run)
    record = folder.read_record()
    return render_run(folder, record), record.status == "running"


@cache
def _index_template() -> Template:
    environment = Environment(
        # The style sheet is the report's own.
        loader=ChoiceLoader([PackageLoader("gatewise.explore"), PackageLoader("gatewise.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("index.html")
