"""The server: this machine only, reading only."""

from __future__ import annotations

from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from gatewise.errors import GatewiseError
from gatewise.explore.pages import index_page, report_page
from gatewise.records.store import RECORD_FILE

HOST = "127.0.0.1"
# A run under way is drawn again this often; its record changes when one of its trainings ends.
REFRESH_S = 10


def make_server(runs: Path, port: int) -> ThreadingHTTPServer:
    """Return a server of the pages of `runs` on 127.0.0.1; port 0 takes any free one.

    Parameters
    ----------
    runs : Path
        The folder that holds the runs.
    port : int

    Raises
    ------
    GatewiseError
        If the port cannot be used.
    """

    class Handler(_Handler):
        folder = runs

    try:
        return ThreadingHTTPServer((HOST, port), Handler)
    except (OSError, OverflowError) as error:
        raise GatewiseError(f"cannot listen on port {port}: {error}; choose another with --port") from error


class _Handler(BaseHTTPRequestHandler):
    """Answer ``/`` with the list and ``/NAME`` with the report of a run."""

    folder: Path

    def do_GET(self) -> None:
        """Send a page."""
        if not self._is_local():
            return self._send(HTTPStatus.FORBIDDEN, "only for this machine")
        name = unquote(self.path.partition("?")[0]).strip("/")
        try:
            if not name:
                return self._send(HTTPStatus.OK, index_page(self.folder))
            # A run is listed by its name; anything else in a path would lead elsewhere.
            if name != Path(name).name or not (self.folder / name / RECORD_FILE).is_file():
                return self._send(HTTPStatus.NOT_FOUND, "no such run")
            page, is_running = report_page(self.folder / name)
        except (GatewiseError, OSError) as error:
            return self._send(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        return self._send(HTTPStatus.OK, page, refresh=is_running)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name of the overridden method
        """Say nothing: a page that was served is no news."""

    def _is_local(self) -> bool:
        """Return whether the browser believes to talk to this machine; a foreign name that resolves here is refused."""
        return (self.headers.get("Host") or "").rpartition(":")[0] in (HOST, "localhost")

    def _send(self, status: HTTPStatus, page: str, refresh: bool = False) -> None:
        content = page.encode("utf-8")
        self.send_response(status)
        is_page = status == HTTPStatus.OK
        self.send_header("Content-Type", f"text/{'html' if is_page else 'plain'}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        if refresh:
            self.send_header("Refresh", str(REFRESH_S))
        self.end_headers()
        self.wfile.write(content)
