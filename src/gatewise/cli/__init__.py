"""The command line, one module a command."""

import sys


def start() -> None:
    """Run the command `gatewise`; say what to install where the workbench is not."""
    try:
        from gatewise.cli.main import main
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "gatewise":
            raise
        print(f"gatewise: the command needs {error.name}; install gatewise[workbench]", file=sys.stderr)
        sys.exit(1)
    main()
