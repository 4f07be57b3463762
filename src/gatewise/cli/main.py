"""The command `gatewise`. This room is the only one that prints and sets exit codes: 0 done, 1 failed, 2 wrong usage.

Nothing heavy is imported here: `gatewise --help` has to answer at once. A command imports what it needs when it runs.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gatewise import __version__
from gatewise.cli import compare, explore, report, tasks, train
from gatewise.errors import GatewiseError

app = typer.Typer(
    name="gatewise",
    help="Train RNN, LSTM and GRU side by side and see how far their gradient and memory reach.",
    epilog="Start with: gatewise compare",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for command in (compare.compare, train.train, report.report, explore.explore, tasks.tasks):
    app.command()(command)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"gatewise {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train RNN, LSTM and GRU side by side and see how far their gradient and memory reach."""


def main() -> None:
    """Run the command line; a user's mistake is answered by one line on stderr."""
    try:
        app()
    except GatewiseError as error:
        print(f"gatewise: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
