"""`gatewise explore`: the reports of all runs in the browser, also of those still under way."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def explore(
    runs: Annotated[Path, typer.Argument(help="The folder that holds the runs.")] = Path("runs"),
    port: Annotated[int, typer.Option(help="Port on this machine; 0 takes any free one.", metavar="N")] = 8765,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Show all runs in the browser; the report of a run under way is drawn anew as its trainings end."""
    import webbrowser

    from gatewise.errors import UsageError
    from gatewise.explore import make_server

    if not runs.is_dir():
        raise UsageError(f"no folder {runs}; start a run first with `gatewise compare`, or name the folder of the runs")
    with make_server(runs, port) as server:
        url = f"http://127.0.0.1:{server.server_port}/"
        print(f"{url} shows the runs in {runs}; end with Ctrl-C", flush=True)
        if browser:
            webbrowser.open(url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return
