"""The result of `gatewise flow` as a table on the terminal."""

from __future__ import annotations

import statistics
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gatewise.records import FlowMeasures, NetworkFlow
from gatewise.report.flow import cell_flows, flow_row
from gatewise.report.numbers import number, steps

NONE = "–"


def print_flow(measured: FlowMeasures, report: Path | None) -> None:
    """Print the diagnoses, the measures of one network a cell, what they come to, and where the pictures are."""
    console = Console(highlight=False)
    console.print(_diagnoses(measured))
    if any(network.is_measured for network in measured.networks):
        console.print()
        console.print(_measures(measured))
    console.print()
    for cell in cell_flows(measured):
        console.print(cell.text, markup=False)
        for remedy in cell.advice[:1]:
            console.print(f"  to try: {remedy.text}", markup=False)
            console.print("\n".join(f"    {line}" for line in remedy.code.splitlines()), markup=False, soft_wrap=True)
    if report is not None:
        console.print(f"\nReport: {report}", markup=False, soft_wrap=True)


def _diagnoses(measured: FlowMeasures) -> Table:
    table = _table(("", "verdict", measured.metric, "solved", "horizon", "needed", "a step", "in all"))
    for network in measured.networks:
        row = flow_row(network)
        reach = (row.horizon, row.needed, row.factor, row.growth)
        table.add_row(row.label, row.verdict, row.score, row.solved, *reach)
    return table


def _measures(measured: FlowMeasures) -> Table:
    """Tell what the pictures show, one line a network."""
    table = _table(("", "half-life", "largest λ", "capacity", "spectral radius of W_hh"))
    for network in measured.networks:
        if network.is_measured:
            table.add_row(network.label, *_row(network))
    return table


def _row(network: NetworkFlow) -> list[str]:
    lyapunov, capacity, spectrum = network.lyapunov, network.capacity, network.spectrum
    return [
        steps(statistics.median(network.half_life)) if network.half_life else NONE,
        number(max(lyapunov.exponents)) if lyapunov else NONE,
        steps(capacity.total) if capacity else NONE,
        " ".join(number(block.spectral_radius, 2) for block in spectrum) if spectrum else NONE,
    ]


def _table(headers: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for position, header in enumerate(headers):
        shortest = max(map(len, header.split()), default=0)  # a long name of a metric is written over several lines
        table.add_column(
            header, justify="right" if position else "left", min_width=max(shortest, 0 if position else 11)
        )
    return table
