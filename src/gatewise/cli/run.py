"""What `compare` and `train` do once their options are read: run, draw, say what came of it."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from pathlib import Path

from gatewise.cli.progress import BarProgress, LineProgress
from gatewise.cli.summary import print_summary
from gatewise.compare import CompareSettings, Comparison, TaskChoice
from gatewise.errors import GatewiseError, UsageError
from gatewise.records import Record, RunFolder, create_exact_folder, create_folder
from gatewise.report import render_run

RUNS = Path("runs")
RUN_FIELDS = (
    "cell", "seed", "hidden_size", "parameters", "learning_rate", "is_chosen",
    "score", "solved", "steps", "seconds", "horizon", "horizon_is_censored",
)  # fmt: skip


def run_comparison(
    choice: TaskChoice, settings: CompareSettings, name: str | None, out: Path | None, force: bool, is_json: bool
) -> None:
    """Run a comparison into a new folder, write its report and print the result."""
    if force and out is None:
        raise UsageError("--force goes with --out: without it a new name is found and nothing is ever replaced")
    task = choice.open()
    folder = create_exact_folder(out, force) if out is not None else create_folder(RUNS, name or task.name)
    comparison = Comparison(choice, task, settings, folder, command=shlex.join(["gatewise", *sys.argv[1:]]))
    progress_class = BarProgress if sys.stderr.isatty() else LineProgress
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a request to end is answered as Ctrl-C is
    try:
        with progress_class(task, comparison.num_runs, comparison.max_steps, comparison.jobs) as progress:
            record = comparison.run(progress)
    except BaseException as error:
        if not comparison.outcomes:
            folder.remove()
        if isinstance(error, KeyboardInterrupt):
            raise _interrupted(len(comparison.outcomes), comparison.num_runs, folder) from None
        raise
    report = folder.write_report(render_run(folder, record))
    if is_json:
        print(result_as_json(record, report))
    else:
        print_summary(record, report)


def _interrupted(num_finished: int, num_runs: int, folder: RunFolder) -> GatewiseError:
    if num_finished == 0:
        return GatewiseError("interrupted before the first run was finished; nothing is kept")
    return GatewiseError(
        f"interrupted after {num_finished} of {num_runs} runs, kept in {folder.path}; "
        f"draw what is there with: gatewise report {folder.path}"
    )


def result_as_json(record: Record, report: Path) -> str:
    """Return the part of the record that `--json` prints."""
    whole = json.loads(record.model_dump_json(by_alias=True))  # pydantic writes what is not finite as null
    heart = {key: whole[key] for key in ("schema", "name", "task", "metric", "baselines", "runs", "verdict")}
    heart["baselines"] = [{key: baseline[key] for key in ("name", "score")} for baseline in whole["baselines"]]
    heart["runs"] = [{key: run[key] for key in RUN_FIELDS} for run in whole["runs"]]
    return json.dumps(heart | {"report": str(report)}, indent=1)
