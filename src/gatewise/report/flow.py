"""The section Flow: the verdict on every network in words and numbers, and the pictures of one network a cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, isfinite, isnan

from gatewise.records.measures import FlowDiagnosis, FlowMeasures, NetworkFlow, Remedy
from gatewise.report.charts import Panels, flow_pictures
from gatewise.report.colours import colour
from gatewise.report.numbers import THIN_SPACE, number, steps
from gatewise.report.table import NONE, score

MEANINGS = {
    "HEALTHY": "the gradient reaches as far back as the task needs",
    "VANISHING": "the gradient is gone before it has reached as far back as the task needs, so what lies further back "
    "cannot be learned",
    "EXPLODING": "the gradient grows on its way back, so that a single step may throw the weights off",
    "NON_FINITE": "a value is NaN or infinite, so nothing can be learned",
}


@dataclass(frozen=True)
class FlowRow:
    """The diagnosis of one network, every number in words."""

    label: str
    colour: str
    score: str
    solved: str
    verdict: str
    horizon: str
    needed: str
    factor: str  # of the gradient norm, a step back
    growth: str  # of the gradient norm, over the whole sequence


@dataclass(frozen=True)
class CellFlow:
    """What the diagnoses of one cell's networks come to, and what to try."""

    cell: str
    colour: str
    text: str
    advice: Sequence[Remedy]  # the best first


@dataclass(frozen=True)
class FlowSection:
    """All that the template lays out."""

    introduction: str
    cells: list[CellFlow]
    rows: list[FlowRow]
    metric: str
    meanings: list[tuple[str, str]]
    pictures: list[Panels]
    command: str


def flow_section(measured: FlowMeasures, *, stands_alone: bool) -> FlowSection:
    """Return the section of what `gatewise flow` measured."""
    verdicts = {network.diagnosis.verdict for network in measured.networks}
    return FlowSection(
        introduction=_introduction(measured),
        cells=cell_flows(measured),
        rows=[flow_row(network) for network in measured.networks],
        metric=measured.metric,
        meanings=[(verdict, meaning) for verdict, meaning in MEANINGS.items() if verdict in verdicts],
        pictures=flow_pictures(measured, stands_alone=stands_alone),
        command=measured.command,
    )


def cell_flows(measured: FlowMeasures) -> list[CellFlow]:
    """Return one summary a cell, in the order of the networks."""
    by_cell: dict[str, list[NetworkFlow]] = {}
    for network in measured.networks:
        by_cell.setdefault(network.cell, []).append(network)
    return [_cell_flow(cell, networks, measured) for cell, networks in by_cell.items()]


def flow_row(network: NetworkFlow) -> FlowRow:
    """Return the row of one network."""
    found = network.diagnosis
    return FlowRow(
        label=network.label,
        colour=colour(network.cell),
        score=score(network.score),
        solved=NONE if network.solved is None else "yes" if network.solved else "no",
        verdict=found.verdict,
        horizon=_horizon(found),
        needed=steps(found.needed_lag),
        factor=NONE if isnan(found.slope) else number(exp(found.slope)),
        growth=NONE if isnan(found.growth) else number(found.growth, 2),
    )


def _horizon(found: FlowDiagnosis) -> str:
    if found.horizon is None:
        return NONE
    return f"≥{THIN_SPACE}{steps(found.horizon)}" if found.horizon >= found.longest_lag else steps(found.horizon)


def _introduction(measured: FlowMeasures) -> str:
    typical = [network.label for network in measured.networks if network.is_measured]
    sequences = f"{measured.sequences} validation sequence{'' if measured.sequences == 1 else 's'}"
    what = "network" if len(measured.networks) == 1 else "networks"
    text = f"Measured on the trained {what}, with {sequences} of {measured.sequence_length} steps of {measured.task}."
    if len(typical) < len(measured.networks) and typical:
        text += (
            f" Every network is diagnosed; the pictures show one a cell, the one in the middle by validation score: "
            f"{', '.join(typical)}."
        )
    return text


def _cell_flow(cell: str, networks: Sequence[NetworkFlow], measured: FlowMeasures) -> CellFlow:
    typical = next((network for network in networks if network.is_measured), networks[0])
    worst = max(networks, key=lambda network: list(MEANINGS).index(network.diagnosis.verdict))
    shown = typical if worst.diagnosis.verdict == typical.diagnosis.verdict else worst
    return CellFlow(
        cell=cell,
        colour=colour(cell),
        text=f"{cell}: {_verdicts(networks)}. {_because(shown.diagnosis, measured)}{_outcome(networks)}",
        advice=shown.diagnosis.advice,
    )


def _verdicts(networks: Sequence[NetworkFlow]) -> str:
    """Return ``"VANISHING in 3 of 3 networks"``, the most frequent verdict first."""
    verdicts = [network.diagnosis.verdict for network in networks]
    if len(verdicts) == 1:
        return verdicts[0]
    in_order = sorted(set(verdicts), key=lambda verdict: (-verdicts.count(verdict), verdict))
    counts = [f"{verdict} in {verdicts.count(verdict)}" for verdict in in_order]
    return f"{', '.join(counts)} of {len(verdicts)} networks"


def _because(found: FlowDiagnosis, measured: FlowMeasures) -> str:
    if found.non_finite is not None:
        return f"First: {found.non_finite}."
    if found.horizon is None:
        return "No gradient reaches its states."
    estimated = "estimated " if measured.needed_lag_is_estimated else ""
    needed = f"{estimated}{steps(found.needed_lag)} steps that the task needs"
    if measured.needed_lag is None:
        needed = f"{steps(found.needed_lag)} steps asked for, half of the sequence"
    if found.horizon >= found.longest_lag:
        reach = f"The gradient reaches back all {steps(found.horizon)} steps, to the start"
    elif found.horizon >= found.needed_lag:
        reach = f"The gradient reaches back {steps(found.horizon)} steps, enough for the {needed}"
    else:
        reach = f"The gradient reaches back {steps(found.horizon)} of the {needed}"
    if found.verdict == "EXPLODING":
        return f"{reach}, and has grown {number(found.growth)} times on the way."
    return (
        f"{reach}; each step back multiplies it by {number(exp(found.slope))}."
        if isfinite(found.slope)
        else f"{reach}."
    )


def _outcome(networks: Sequence[NetworkFlow]) -> str:
    """Return how the networks did, and what that has to do with the verdict."""
    judged = [network for network in networks if network.solved is not None]
    if not judged:
        return ""
    solved = sum(bool(network.solved) for network in judged)
    healthy = sum(network.diagnosis.verdict == "HEALTHY" for network in judged)
    task = "solves the task" if len(judged) == 1 else f"solves the task in {solved} of {len(judged)} runs"
    if solved == 0:
        task = "does not solve the task" if len(judged) == 1 else f"solves the task in none of {len(judged)} runs"
    if healthy == len(judged) and solved == 0:
        return f" It {task}: the gradient is not what holds it back."
    if healthy == 0 and solved == len(judged):
        return f" It {task} all the same: what lies further back is seldom needed."
    return f" It {task}."
