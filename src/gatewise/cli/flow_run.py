"""What `gatewise flow` does once its options are read: find, measure, keep, draw, say."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gatewise.cli.flow_table import print_flow
from gatewise.compare import TaskChoice, TrainedNetworks, check_measures, find_networks, measure_networks
from gatewise.errors import UsageError
from gatewise.records import FlowMeasures, NetworkFlow
from gatewise.records.atomic import write_text
from gatewise.report import render_flow, render_run


def run_flow(
    path: Path, data: TaskChoice | None, measures: Sequence[str], max_sequences: int, page: Path | None, is_json: bool
) -> None:
    """Measure, keep what belongs to a run in its folder, and print the result."""
    names = check_measures(measures)
    if page is not None and not page.parent.is_dir():
        raise UsageError(f"--page must lie in a folder that exists, got {page}")
    found = find_networks(path, data)
    measured = _measure(found, names, max_sequences)
    report = page
    if found.folder is not None:
        found.folder.write_measures(measured)
        report = found.folder.write_report(render_run(found.folder, found.folder.read_record()))
    if page is not None:
        write_text(page, render_flow(measured))
    if is_json:
        print(measured.model_dump_json(by_alias=True, indent=1))
    else:
        print_flow(measured, report)


def _measure(found: TrainedNetworks, measures: Sequence[str], max_sequences: int) -> FlowMeasures:
    """Measure with a bar on a terminal, and a line a network, on stderr."""
    console = Console(stderr=True, highlight=False)
    columns = TextColumn("measuring"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=len(found.networks))

        def on_network(network: NetworkFlow) -> None:
            progress.advance(bar)
            number = int(progress.tasks[0].completed)
            line = f"[{number}/{len(found.networks)}] {network.label:<12} {network.diagnosis.verdict}"
            console.print(line, markup=False, soft_wrap=True)

        return measure_networks(found, measures, max_sequences, shlex.join(["gatewise", *sys.argv[1:]]), on_network)
