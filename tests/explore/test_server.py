"""The local page: it lists runs, draws them as they stand, and serves nothing else."""

import threading
import urllib.error
import urllib.request

import pytest

from gatewise.errors import GatewiseError
from gatewise.explore import make_server
from gatewise.records import RunFolder
from report.sample import sample


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a complete run, one under way and one that is damaged."""
    made = sample()
    for name, status in (("complete", "complete"), ("under-way", "running")):
        run = RunFolder(tmp_path / name)
        run.path.mkdir()
        run.write_record(made.record.model_copy(update={"name": name, "status": status}))
        run.write_metrics(made.metrics)
        run.write_flow(made.flow)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "record.json").write_text("{")
    (tmp_path / "secret.txt").write_text("secret")
    return tmp_path


@pytest.fixture
def get(folder):
    """Return a function that asks a running server for a path."""
    with make_server(folder, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()

        def ask(path, host=None):
            request = urllib.request.Request(f"http://127.0.0.1:{server.server_port}{path}")
            if host:
                request.add_header("Host", host)
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return answer.status, answer.read().decode(), answer.headers
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read().decode(), error.headers

        yield ask
        server.shutdown()
        thread.join()


def test_index_lists_every_run(get):
    status, page, _ = get("/")
    assert status == 200
    assert 'href="/complete"' in page
    assert "under way" in page
    assert "not a complete run record" in page
    assert "secret" not in page


def test_report_is_drawn_and_refreshed_while_under_way(get):
    status, page, headers = get("/complete")
    assert status == 200
    assert "How they learned" in page
    assert headers["Refresh"] is None
    status, page, headers = get("/under-way?x=1")
    assert status == 200
    assert "Incomplete." in page
    assert headers["Refresh"] == "10"


@pytest.mark.parametrize(
    "path", ["/secret.txt", "/../secret.txt", "/%2e%2e/secret.txt", "/complete/record.json", "/x", "/.."]
)
def test_nothing_else_is_served(get, path):
    status, page, _ = get(path)
    assert status == 404
    assert page == "no such run"


def test_damaged_run_is_one_line(get):
    status, page, _ = get("/damaged")
    assert status == 500
    assert "not a complete run record" in page
    assert len(page.splitlines()) == 1


def test_foreign_names_are_refused(get):
    assert get("/", host="evil.example:80")[0] == 403


def test_taken_port_is_one_line(folder):
    with make_server(folder, 0) as server, pytest.raises(GatewiseError, match="choose another with --port"):
        make_server(folder, server.server_port)
