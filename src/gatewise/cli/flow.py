"""`gatewise flow`: how far gradient and memory of trained networks reach."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gatewise.cli import options


def flow(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL|RUN",
            help="A run's folder (runs/NAME), one network in it (runs/NAME/LSTM-seed0-lr0.01), or a saved model.",
        ),
    ],
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATA]",
            help="What to measure a single network on, as the SOURCE of `gatewise compare`; else the data of its run.",
        ),
    ] = None,
    measures: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Which of gates, spectrum, map, lyapunov, capacity to measure beside the diagnosis, separated by "
            "commas; `none` for the diagnosis alone. The dear ones are map (up to 40 backward passes) and lyapunov (a "
            "QR a step): 0.3 to 2 s each for a network of 64 units on 100 steps.",
        ),
    ] = "gates,spectrum,map,lyapunov,capacity",
    max_sequences: Annotated[
        int,
        typer.Option(metavar="N", help="Validation sequences to look at; map and lyapunov take at most 8 of them."),
    ] = 32,
    page: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the measures into this page (a run's own report holds them anyway)."),
    ] = None,
    length: options.Length = None,
    target: options.Target = None,
    window: options.Window = None,
    horizon: options.Horizon = None,
    time: options.Time = None,
    inputs: options.Inputs = None,
    is_json: options.Json = False,
) -> None:
    """Measure how far gradient and memory of trained networks reach, and say which vanish or explode and why.

    The diagnosis is made of every network of a run, all else of one network a cell. For a run the measures are kept in
    its folder and drawn into its report.
    """
    from gatewise.cli.flow_run import run_flow
    from gatewise.compare import TaskChoice
    from gatewise.errors import UsageError

    given = {"length": length, "target": target, "window": window, "horizon": horizon, "time": time}
    named = [name for name, value in {**given, "inputs": inputs}.items() if value]
    if data is None and named:
        raise UsageError(f"--{named[0]} goes with DATA, which is not given")
    if max_sequences < 1:
        raise UsageError(f"--max-sequences must be at least 1, got {max_sequences}")
    choice = None
    if data is not None:
        choice = TaskChoice(
            data, length=length, target=target, window=window, horizon=horizon, time=time, inputs=tuple(inputs or ())
        )
    names = [name.strip() for name in measures.split(",")] if measures != "none" else []
    run_flow(path, choice, names, max_sequences, page=page, is_json=is_json)
