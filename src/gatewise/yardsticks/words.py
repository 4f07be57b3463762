"""How the outcome of a yardstick is said, on the terminal and in the document."""

from __future__ import annotations

import math
import statistics

from gatewise.data.files import grouped
from gatewise.records import Machine, YardstickCriterion, YardstickRecord

# Numbers of these names are 1 or 0.
YES_OR_NO = (": solved", ": off the plateau")

KNOWN_FROM = {
    "paper": "theirs, read in the paper",
    "abstract": "theirs, read in the abstract only",
    "memory": "theirs, from memory and not checked",
}


def verdict(record: YardstickRecord) -> str:
    """Return what may be said of the claim."""
    if record.reproduced is None:
        return "not judged: " + ("a quick run" if record.quick else "not finished")
    if record.reproduced:
        return "reproduced"
    failed = sum(not criterion.holds for criterion in record.criteria)
    return f"NOT reproduced: {failed} of {len(record.criteria)} criteria fail"


def summary(record: YardstickRecord) -> list[tuple[str, str]]:
    """Return each shown number as its median over the seeds and, from two seeds on, its range; yes or no as a count."""
    return [(name, _over_seeds(name, [run.numbers[name] for run in record.runs])) for name in record.shown]


def criterion_in_words(criterion: YardstickCriterion) -> str:
    """Return the statistic, the threshold and whether it holds."""
    holds = "holds" if criterion.holds else "FAILS"
    return (
        f"{criterion.text}: {_number(criterion.statistic)}, {criterion.rule} {_number(criterion.threshold)} - {holds}"
    )


def size_of_run(record: YardstickRecord) -> str:
    """Return whether the run had its full size, and how many seeds."""
    seeds = f"{len(record.runs)} seed{'s' if len(record.runs) != 1 else ''}"
    return f"quick ({record.quick})" if record.quick else f"full size, {seeds}"


def machine_in_words(machine: Machine) -> str:
    """Return CPU, cores and versions."""
    return (
        f"{machine.processor}, {machine.cores} cores, {machine.jobs} seed{'s' if machine.jobs != 1 else ''} at a time "
        f"on {machine.threads_per_run} thread each, {machine.cpu_level} kernels, "
        f"torch {machine.packages.get('torch', '?')}, Python {machine.python}"
    )


def _number(value: float) -> str:
    return grouped(round(value)) if 1000 <= abs(value) < 1e9 else f"{value:.3g}"


def _over_seeds(name: str, numbers: list[float]) -> str:
    if name.endswith(YES_OR_NO):
        return f"in {sum(number == 1 for number in numbers)} of {len(numbers)} seeds"
    finite = [number for number in numbers if math.isfinite(number)]
    if not finite:
        return "no finite number"
    text = _number(statistics.median(finite))
    if len(finite) > 1:
        text += f" ({_number(min(finite))} to {_number(max(finite))})"
    lost = len(numbers) - len(finite)
    return text + (f", {lost} not finite" if lost else "")
