"""`gatewise train`: one cell on one task."""

from __future__ import annotations

from typing import Annotated

import typer

from gatewise.cli import options


def train(
    source: options.Source = "adding",
    cell: Annotated[str, typer.Option(metavar="CELL", help="RNN, LSTM or GRU.")] = "LSTM",
    seed: Annotated[
        int, typer.Option(metavar="N", help="Decides the initial weights and the order of the training data.")
    ] = 0,
    hidden_size: Annotated[int, typer.Option(metavar="N", help="Hidden units.")] = 32,
    learning_rate: Annotated[float, typer.Option(metavar="RATE", help="Learning rate of Adam.")] = 1e-2,
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
    name: options.Name = None,
    out: options.Out = None,
    force: options.Force = False,
    is_json: options.Json = False,
) -> None:
    """Train one network on one task, measure it, and write its model and report."""
    from gatewise.cli.run import run_comparison
    from gatewise.compare import CompareSettings, TaskChoice
    from gatewise.training import check_cell

    choice = TaskChoice(
        source, length=length, target=target, window=window, horizon=horizon, time=time, inputs=tuple(inputs or ())
    )
    settings = CompareSettings(
        cells=(check_cell(cell),),
        seeds=(seed,),
        hidden_size=hidden_size,
        learning_rates=(learning_rate,),
        batch_size=batch_size,
        max_steps=max_steps,
        time_budget_s=time_budget,
        is_monitored=monitor,
    )
    run_comparison(choice, settings, name=name, out=out, force=force, is_json=is_json)
