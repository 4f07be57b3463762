"""`gatewise bench`: whether it is faster on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from gatewise.cli import options


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Three small sizes, a few seconds in all.")] = False,
    cells: Annotated[str, typer.Option(metavar="CELLS", help="Cells, separated by commas.")] = "RNN,LSTM,GRU",
    sizes: Annotated[
        str | None,
        typer.Option(
            metavar="SIZES",
            help="Your sizes, separated by commas: sequences x steps x inputs x hidden units, as in 8x200x32x64.",
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", help="Threads for both (default: torch's, one a core).")
    ] = None,
    is_json: options.Json = False,
) -> None:
    """Time gatewise's layers against torch.nn's on this machine, turn by turn, after checking that they agree."""
    from gatewise.bench import GRID, QUICK_GRID, BenchSettings, Pace, measure_speed, parse_size
    from gatewise.cli.bench_output import point_progress, print_result

    grid = QUICK_GRID if quick else GRID
    settings = BenchSettings(
        cells=tuple(cell.strip() for cell in cells.split(",")),
        sizes=grid if sizes is None else tuple(parse_size(size.strip()) for size in sizes.split(",")),
        threads=threads,
        pace=Pace(seconds=0.2 if quick else 1.0),
    )
    with point_progress(settings) as on_point:
        record = measure_speed(settings, on_point)
    if is_json:
        print(record.to_json())
    else:
        print_result(record)
