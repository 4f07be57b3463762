"""`gatewise yardstick`: classical results, run again on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gatewise.cli import options

if TYPE_CHECKING:
    from gatewise.records import YardstickRecord
    from gatewise.yardsticks import Yardstick

RUNS = Path("runs")


def yardstick(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME|all]", help="Which result; left out, they are listed.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A smoke test of about a minute each: smaller, and never judged.")
    ] = False,
    jobs: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Seeds that run at the same time (default: one a core).")
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Run nothing; print the records below FOLDER as a Markdown page."),
    ] = None,
    is_json: options.Json = False,
) -> None:
    """Reproduce classical results on recurrent networks, with seeds and spread, beside what the papers say.

    Each writes runs/yardstick-NAME/yardstick.json. A claim that does not reproduce is reported as such; the exit code
    says whether the experiment ran, not how it ended.
    """
    from gatewise.errors import UsageError

    if page is not None:
        if name is not None or quick or is_json:
            raise UsageError("--page prints what is already recorded: give it no NAME, --quick or --json")
        from gatewise.yardsticks.page import read_records, render_page

        print(render_page(read_records(page)), end="")
    elif name is None:
        if quick:
            raise UsageError("--quick needs the NAME of a yardstick, or all")
        _list(is_json)
    else:
        _run(_chosen(name), quick, jobs, is_json)


def _chosen(name: str) -> list[Yardstick]:
    from gatewise.errors import UsageError, nearest
    from gatewise.yardsticks import YARDSTICKS

    if name == "all":
        return list(YARDSTICKS.values())
    if name not in YARDSTICKS:
        raise UsageError(
            f"unknown yardstick {name!r}{nearest(name, list(YARDSTICKS))}; known: all, {', '.join(YARDSTICKS)}"
        )
    return [YARDSTICKS[name]]


def _list(is_json: bool) -> None:
    import json

    from gatewise.yardsticks import YARDSTICKS

    if is_json:
        rows = [{"name": one.name, "source": one.source, "claim": one.claim} for one in YARDSTICKS.values()]
        print(json.dumps({"yardsticks": rows}, indent=1))
        return
    for one in YARDSTICKS.values():
        print(f"{one.name:<22} {one.claim}")


def _run(chosen: list[Yardstick], quick: bool, jobs: int | None, is_json: bool) -> None:
    import json
    import shlex
    import signal
    import sys

    from gatewise.records import YARDSTICK_FILE, YardstickRun, create_folder
    from gatewise.yardsticks.measure import measure

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a request to end is answered as Ctrl-C is
    command = shlex.join(["gatewise", *sys.argv[1:]])
    results = []
    for one in chosen:
        folder = create_folder(RUNS, f"yardstick-{one.name}").path
        seeds = one.quick_seeds if quick else one.seeds
        print(f"{one.name}: {len(seeds)} seed{'s' if len(seeds) > 1 else ''}", file=sys.stderr)

        def say(run: YardstickRun) -> None:
            print(f"  seed {run.seed}: {run.seconds:.0f} s", file=sys.stderr, flush=True)

        record = measure(one, quick, folder, command, jobs, say)
        if is_json:
            results.append(json.loads(record.model_dump_json(by_alias=True)))  # pydantic writes NaN as null
        else:
            _print(record, folder / YARDSTICK_FILE)
    if is_json:
        print(json.dumps({"schema": 1, "yardsticks": results}, indent=1))


def _print(record: YardstickRecord, path: Path) -> None:
    from gatewise.yardsticks.words import KNOWN_FROM, criterion_in_words, size_of_run, summary, verdict

    print(f"{record.name}: {verdict(record)}")
    print(f"  {record.source}")
    for title, text in (
        ("claim", record.claim),
        (KNOWN_FROM[record.theirs_known_from], record.theirs),
        ("ours", f"{record.ours}; {size_of_run(record)}"),
    ):
        print(f"  {title}: {text}")
    for number, text in summary(record):
        print(f"    {number:<44} {text}")
    for criterion in record.criteria:
        print(f"  {criterion_in_words(criterion)}")
    print(f"  record: {path}")
