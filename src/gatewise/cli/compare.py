"""`gatewise compare`: the main job."""

from __future__ import annotations

from typing import Annotated

import typer

from gatewise.cli import options


def compare(
    source: options.Source = "adding",
    cells: Annotated[str, typer.Option(metavar="CELLS", help="Cells, separated by commas.")] = "RNN,LSTM,GRU",
    seeds: Annotated[
        int, typer.Option(metavar="N", help="Runs of each cell, with seeds 0, 1, 2 ...; a verdict needs 3.")
    ] = 3,
    hidden_size: Annotated[
        int, typer.Option(metavar="N", help="Hidden units of the LSTM (else of the GRU); the others are matched.")
    ] = 32,
    match: Annotated[options.Match, typer.Option(help="What is made equal between the cells.")] = "parameters",
    learning_rate: Annotated[
        list[float] | None,
        typer.Option(metavar="RATE", help="A learning rate to try; may be repeated (default 0.01 and 0.003)."),
    ] = None,
    batch_size: options.BatchSize = 32,
    max_steps: options.MaxSteps = None,
    time_budget: options.TimeBudget = None,
    length: options.Length = None,
    target: options.Target = None,
    window: options.Window = None,
    horizon: options.Horizon = None,
    time: options.Time = None,
    inputs: options.Inputs = None,
    monitor: options.Monitor = True,
    jobs: options.Jobs = None,
    name: options.Name = None,
    out: options.Out = None,
    force: options.Force = False,
    is_json: options.Json = False,
) -> None:
    """Train RNN, LSTM and GRU fairly on one task and write a report that says which to use and why."""
    from gatewise.cli.run import run_comparison
    from gatewise.compare import CompareSettings, TaskChoice
    from gatewise.training import check_cell

    if not 1 <= seeds <= 1000:
        raise typer.BadParameter(f"must be from 1 to 1000, got {seeds}", param_hint="--seeds")
    choice = TaskChoice(
        source, length=length, target=target, window=window, horizon=horizon, time=time, inputs=tuple(inputs or ())
    )
    settings = CompareSettings(
        cells=tuple(check_cell(cell.strip()) for cell in cells.split(",")),
        seeds=tuple(range(seeds)),
        hidden_size=hidden_size,
        match=match,
        learning_rates=tuple(learning_rate or CompareSettings.learning_rates),
        batch_size=batch_size,
        max_steps=max_steps,
        time_budget_s=time_budget,
        is_monitored=monitor,
        jobs=jobs,
    )
    run_comparison(choice, settings, name=name, out=out, force=force, is_json=is_json)
