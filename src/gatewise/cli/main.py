"""The command `gatewise`. This room is the only one that prints and sets exit codes: 0 done, 1 failed, 2 wrong usage.

Nothing heavy is imported here: `gatewise --help` has to answer at once. A command imports what it needs when it runs.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from gatewise import __version__
from gatewise.cli import bench, compare, explore, flow, report, selfcheck, tasks, train, yardstick
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
app.command(short_help="Train RNN, LSTM and GRU fairly on one task; say which to use.")(compare.compare)
app.command(short_help="Train and measure a single network.")(train.train)
app.command(short_help="Measure how far gradient and memory of trained networks reach.")(flow.flow)
app.command(short_help="Draw the report of a run again.")(report.report)
app.command(short_help="Show all runs in the browser, live.")(explore.explore)
app.command(short_help="Time the layers against torch.nn on this machine.")(bench.bench)
app.command(short_help="List memory tasks and built-in data.")(tasks.tasks)
app.command(short_help="Check the native kernels on this machine.")(selfcheck.selfcheck)
app.command(short_help="Run classical results of the field again.")(yardstick.yardstick)

INTERRUPTED = 130  # typer's exit code for Ctrl-C


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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a sign gets a question mark
    try:
        app()
    except GatewiseError as error:
        sys.exit(_say(str(error), error.exit_code))
    except OSError as error:
        sys.exit(_say(f"cannot write or read: {error}", exit_code=1))
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            sys.exit(_say("interrupted", exit_code=1))
        raise


def _say(message: str, exit_code: int) -> int:
    """Print one line on stderr, where there is one; what would steer the terminal is shown, not sent."""
    line = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in message)
    if sys.stderr is not None:
        print(f"gatewise: {line}", file=sys.stderr)
    return exit_code
