"""The Markdown page of all recorded yardsticks: docs/yardsticks.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gatewise.errors import UsageError
from gatewise.records import YARDSTICK_FILE, YardstickRecord, read_yardstick
from gatewise.yardsticks import YARDSTICKS
from gatewise.yardsticks.words import KNOWN_FROM, criterion_in_words, machine_in_words, size_of_run, summary, verdict

INTRODUCTION = """\
# Classical results, run again

Findings that the field tells about RNN, LSTM and GRU, each repeated here at a size that two cores can bear. This page
is written by `gatewise yardstick --page FOLDER` from the records that `gatewise yardstick NAME` leaves.

The settings are ours, and mostly smaller than those of the papers: "theirs" is what the paper says and never a
measurement of ours. Where we read only the abstract, or go by memory, it says so. Each claim has statistics over the
seeds and thresholds that stand in the code; numbers are medians over the seeds, with the range from the smallest to the
largest in brackets. A `--quick` run is a smoke test and is not judged, nor is anything below three seeds. "NOT
reproduced" means: not with our setting and budget; it does not say that the paper is wrong. The minutes are no
benchmark: the machine had other work at the same time.
"""


def read_records(folder: Path) -> list[YardstickRecord]:
    """Return the best complete record of each yardstick below `folder`: full size before quick, then the newest."""
    records = [read_yardstick(path) for path in sorted(folder.glob(f"*/{YARDSTICK_FILE}"))]
    complete = [record for record in records if record.status == "complete"]
    if not complete:
        raise UsageError(f"no finished yardstick below {folder}; run `gatewise yardstick all` first")
    complete.sort(key=lambda record: (record.quick is None, record.created))
    by_name = {record.name: record for record in complete}  # the last one stays
    order = [*YARDSTICKS, *sorted(by_name.keys() - YARDSTICKS.keys())]
    return [by_name[name] for name in order if name in by_name]


def render_page(records: Sequence[YardstickRecord]) -> str:
    """Return the whole page."""
    machines = dict.fromkeys(machine_in_words(record.machine) for record in records)
    measured = "Measured on: " + "; ".join(machines) + ".\n"
    return "\n".join([INTRODUCTION, measured, _overview(records), *map(_section, records)])


def _overview(records: Sequence[YardstickRecord]) -> str:
    rows = [
        f"| [{record.name}](#{record.name}) | {record.claim} | {verdict(record)} | {size_of_run(record)} |"
        for record in records
    ]
    return "\n".join(["| yardstick | claim | here | run |", "|---|---|---|---|", *rows]) + "\n"


def _section(record: YardstickRecord) -> str:
    minutes = sum(run.seconds for run in record.runs) / 60
    facts = [
        f"- Source: {record.source}",
        f"- Claim: {record.claim}",
        f"- {KNOWN_FROM[record.theirs_known_from].capitalize()}: {record.theirs}.",
        f"- Ours: {record.ours}.",
        f"- Judged: {record.judged}.",
        f"- Run: {size_of_run(record)}; {minutes:.1f} minutes for all seeds together.",
        f"- Here: **{verdict(record)}**",
        *(f"  - {criterion_in_words(criterion)}" for criterion in record.criteria),
    ]
    table = ["| number | median (range) |", "|---|---|", *(f"| {name} | {text} |" for name, text in summary(record))]
    return "\n".join([f"## {record.name}", "", *facts, "", *table]) + "\n"
