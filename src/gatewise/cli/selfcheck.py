"""`gatewise selfcheck`: does this machine compute what the equations say."""

from __future__ import annotations

from gatewise.cli import options


def selfcheck(is_json: options.Json = False) -> None:
    """Compare the native kernels with the cells' equations on this machine; exit code 1 if they disagree."""
    import json
    from dataclasses import asdict

    import typer

    from gatewise.nn import selfcheck as check

    result = check()
    print(json.dumps({**asdict(result), "is_right": result.is_right}, indent=1) if is_json else result)
    if not result.is_right:
        raise typer.Exit(1)
