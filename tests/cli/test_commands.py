"""The commands from end to end, on a task small enough to train in seconds."""

import html
import json
import subprocess
import sys

import pytest

import gatewise as gw
from gatewise.records import open_folder

TINY = ["--length", "6", "--max-steps", "20", "--hidden-size", "4"]


def test_compare_writes_record_models_and_report(gatewise, tmp_path):
    code, out, err = gatewise("compare", *TINY, "--json", "--jobs", "2")
    assert code == 0, err
    heart = json.loads(out)
    assert heart["schema"] == 1
    assert heart["task"]["name"] == "adding-T6"
    assert heart["metric"] == {"name": "mse", "better": "lower"}
    assert heart["baselines"] == [{"name": "always 1", "score": pytest.approx(1 / 6)}]
    assert len(heart["runs"]) == 12
    chosen = [(run["cell"], run["seed"]) for run in heart["runs"] if run["is_chosen"]]
    assert chosen == [(cell, seed) for cell in ("RNN", "LSTM", "GRU") for seed in (0, 1, 2)]
    assert {"winner", "text"} <= set(heart["verdict"])
    folder = open_folder(tmp_path / "runs" / "adding-T6")
    record = folder.read_record()
    assert record.status == "complete"
    assert record.verdict.text in html.unescape((folder.path / "report.html").read_text(encoding="utf-8"))
    assert heart["report"] == "runs/adding-T6/report.html"
    for run in record.runs:
        model = gw.load(folder.path / run.folder)
        assert model.num_parameters() == run.parameters
    assert len(folder.read_flow()) == 9
    assert len(err.splitlines()) == 14  # what it is, how many runs, a line a run


def test_diverged_runs_are_json_all_the_same(gatewise, tmp_path):
    code, out, err = gatewise("compare", *TINY, "--seeds", "1", "--learning-rate", "1e30", "--json")
    assert code == 0, err

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    heart = json.loads(out, parse_constant=refuse)
    assert [run["score"] for run in heart["runs"]] == [None] * 3
    folder = tmp_path / "runs" / "adding-T6"
    json.loads((folder / "record.json").read_text(), parse_constant=refuse)
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=refuse)
    assert "diverged" in (folder / "report.html").read_text(encoding="utf-8")


def test_second_run_stands_beside_the_first(gatewise, tmp_path):
    for _ in range(2):
        code, out, _ = gatewise("train", *TINY, "--cell", "RNN")
        assert code == 0
        assert "compared with no other cell" in out
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["adding-T6", "adding-T6-2"]
    first, second = (open_folder(path).read_record() for path in sorted((tmp_path / "runs").iterdir()))
    assert first.runs[0].score == second.runs[0].score  # the same seed gives the same network


def test_number_of_jobs_does_not_change_the_scores(gatewise, tmp_path):
    scores = []
    for jobs in (1, 3):
        arguments = ["--cells", "LSTM,GRU", "--seeds", "1", "--learning-rate", "0.01", "--out", tmp_path / str(jobs)]
        code, out, _ = gatewise("compare", *TINY, "--json", "--jobs", jobs, *arguments)
        assert code == 0
        scores.append([run["score"] for run in json.loads(out)["runs"]])
    assert scores[0] == scores[1]


def test_text_and_table_are_compared_too(gatewise, tmp_path):
    (tmp_path / "book.txt").write_text("she sells sea shells by the sea shore. " * 60, encoding="utf-8")
    rows = "\n".join(f"{day},{(day % 12) + 0.1 * (day % 5)}" for day in range(300))
    (tmp_path / "table.csv").write_text("day,load\n" + rows, encoding="utf-8")
    small = ["--cells", "RNN,GRU", "--seeds", "1", "--learning-rate", "0.01", *TINY[2:], "--json"]
    for source in (["book.txt"], ["table.csv", "--target", "load", "--window", "16", "--time", "day"]):
        code, out, err = gatewise("compare", *source, *small)
        assert code == 0, err
        heart = json.loads(out)
        assert heart["task"]["needed_lag_is_estimated"] is True
        assert heart["task"]["source"]["path"] == source[0]
        assert len(heart["baselines"]) >= 2


def test_report_is_drawn_again_from_the_record(gatewise, tmp_path):
    gatewise("train", *TINY, "--out", tmp_path / "run")
    report = tmp_path / "run" / "report.html"
    page = report.read_text(encoding="utf-8")
    report.unlink()
    code, out, _ = gatewise("report", tmp_path / "run")
    assert code == 0
    assert out.strip() == str(report)
    assert report.read_text(encoding="utf-8") == page


def test_what_the_monitor_saw_is_kept_and_changes_no_number(gatewise, tmp_path):
    weights, rows = [], []
    for option in ("--monitor", "--no-monitor"):
        code, _, err = gatewise("train", *TINY, option, "--out", tmp_path / option)
        assert code == 0
        assert len(err.splitlines()) == 3  # the monitor's warnings stay off the screen
        folder = open_folder(tmp_path / option)
        run = folder.read_record().runs[0]
        weights.append((folder.path / run.folder / "model.safetensors").read_bytes())
        rows += folder.read_metrics()
    with_flow, without = rows
    names = ["horizon", "slope", "gradient_norm_first", "gradient_norm_last", "verdict"]
    assert list(with_flow.flow) == [f"recurrent/l0/{name}" for name in names]
    assert without.flow is None
    assert weights[0] == weights[1]
    assert with_flow.model_copy(update={"flow": None, "seconds": 0}) == without.model_copy(update={"seconds": 0})
    title = "How far back they could learn during training"
    assert title in (tmp_path / "--monitor" / "report.html").read_text(encoding="utf-8")
    assert title not in (tmp_path / "--no-monitor" / "report.html").read_text(encoding="utf-8")


def test_record_of_a_version_without_monitor_has_its_report(gatewise, tmp_path):
    gatewise("train", *TINY, "--out", tmp_path / "run")
    metrics, record = tmp_path / "run" / "metrics.jsonl", tmp_path / "run" / "record.json"
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    older = json.loads(record.read_text())
    assert older["settings"].pop("is_monitored") is True
    assert all(row.pop("flow") for row in rows)
    metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    record.write_text(json.dumps(older))
    code, _, err = gatewise("report", tmp_path / "run")
    assert code == 0, err
    assert "How they learned" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert open_folder(tmp_path / "run").read_record().settings.is_monitored is False


def test_tasks_lists_everything_built_in(gatewise):
    code, out, _ = gatewise("tasks", "--json")
    assert code == 0
    assert set(json.loads(out)["memory_tasks"]) == {"adding", "copy", "temporal-order"}
    assert set(json.loads(out)["built_in_data"]) == {"python-help", "el-nino"}
    code, out, _ = gatewise("tasks")
    assert "temporal-order" in out


def test_help_imports_nothing_heavy():
    script = (
        "import sys; sys.argv = ['gatewise', 'compare', '--help']\n"
        "from gatewise.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "--learning-rate" in done.stdout
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert "typer" in loaded
    assert loaded.isdisjoint({"torch", "numpy", "polars", "plotly", "pydantic", "scipy", "rich", "jinja2"})


def test_version_is_printed(gatewise):
    assert gatewise("--version") == (0, f"gatewise {gw.__version__}\n", "")


def test_command_without_the_workbench_says_what_to_install():
    script = (
        "import sys\n"
        "sys.modules['typer'] = None\n"  # as if it were not installed
        "from gatewise.cli import start\n"
        "start()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "gatewise: the command needs typer; install gatewise[workbench]\n"


def test_selfcheck_answers_in_words_and_in_json(gatewise):
    code, said, _ = gatewise("selfcheck")
    assert code == 0
    assert "kernels" in said
    code, out, _ = gatewise("selfcheck", "--json")
    assert code == 0
    answer = json.loads(out)
    assert answer["is_right"] is True
    assert answer["cpu_level"] in [*answer["cpu_levels"], "none"]
