"""The local web page: all runs of a folder, and their reports while they are still being trained."""

from gatewise.explore.server import make_server

__all__ = ["make_server"]
