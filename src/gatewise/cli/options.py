"""Options that several commands share, in the words of their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Match = Literal["parameters", "hidden-size", "time"]

Source = Annotated[
    str,
    typer.Argument(
        metavar="[SOURCE]",
        help="A memory task (adding, copy, temporal-order), a built-in data set, a text file, or a table (.csv, .tsv, "
        ".parquet) with --target. `gatewise tasks` lists the built-in ones.",
    ),
]
Length = Annotated[
    int | None,
    typer.Option(metavar="STEPS", help="Steps of a memory task (default 100) or of the pieces a text is cut into."),
]
Target = Annotated[str | None, typer.Option(metavar="COLUMN", help="Table: the column to forecast.")]
Window = Annotated[int | None, typer.Option(metavar="ROWS", help="Table: rows that the networks look back.")]
Horizon = Annotated[int | None, typer.Option(metavar="ROWS", help="Table: rows to forecast.")]
Time = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Table: the column that orders the rows; gaps in it are reported.")
]
Inputs = Annotated[
    list[str] | None, typer.Option(metavar="COLUMN", help="Table: a further column to look at; may be repeated.")
]

BatchSize = Annotated[int, typer.Option(metavar="N", help="Sequences a training step.")]
MaxSteps = Annotated[
    int | None, typer.Option(metavar="N", help="Training steps of a run at most (default 2000, real data 1500).")
]
TimeBudget = Annotated[
    float | None, typer.Option(metavar="SECONDS", help="Seconds of computing (CPU time) of a run at most.")
]
Monitor = Annotated[
    bool,
    typer.Option(
        "--monitor/--no-monitor",
        help="Keep at each validation how far the gradient reaches in that training step; no score depends on it.",
    ),
]
Jobs = Annotated[int | None, typer.Option(metavar="N", help="Runs trained at the same time (default: one a core).")]
Name = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Name of the run (default: the task's); -2, -3 are added where taken."),
]
Out = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Folder to write into, instead of runs/NAME; must not exist.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace the run that is in --out.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON; progress goes to stderr.")]
