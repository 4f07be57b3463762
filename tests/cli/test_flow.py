"""`gatewise flow`: from a trained run, one of its networks or a saved model to table, JSON, record and report."""

import json
import shutil
import subprocess
import sys

import pytest

import gatewise as gw
from gatewise.records import MEASURES, open_folder

CELLS = ("RNN", "LSTM")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return the folder of a tiny comparison; copy it before writing."""
    folder = tmp_path_factory.mktemp("runs") / "adding"
    options = ["--length", "12", "--max-steps", "20", "--hidden-size", "4", "--jobs", "1", "--learning-rate", "0.01"]
    arguments = ["compare", *options, "--cells", ",".join(CELLS), "--seeds", "2", "--out", str(folder)]
    script = "from gatewise.cli import start; start()"
    subprocess.run([sys.executable, "-c", script, *arguments], check=True, capture_output=True)
    return folder


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def refuse(constant):
    raise AssertionError(f"{constant} is not JSON")


def test_run_is_measured_kept_and_drawn(gatewise, run):
    code, out, err = gatewise("flow", run, "--json", "--max-sequences", "4")
    assert code == 0, err
    measured = json.loads(out, parse_constant=refuse)
    assert json.loads((run / "flow.json").read_text(), parse_constant=refuse) == measured
    networks = measured["networks"]
    assert [(network["cell"], network["seed"]) for network in networks] == [(c, s) for c in CELLS for s in (0, 1)]
    assert (measured["task"], measured["sequences"], measured["needed_lag"]) == ("adding-T12", 4, 11)
    for cell in CELLS:  # everything of one network a cell, the diagnosis of all
        of_cell = [network for network in networks if network["cell"] == cell]
        assert sorted(network["map"] is not None for network in of_cell) == [False, True]
        assert all(network["diagnosis"]["verdict"] in {"HEALTHY", "VANISHING"} for network in of_cell)
    assert len(err.splitlines()) == 4  # a line a network
    page = (run / "report.html").read_text(encoding="utf-8")
    assert 'id="flow-map-1"' in page
    (run / "report.html").unlink()
    assert gatewise("report", run)[0] == 0
    assert (run / "report.html").read_text(encoding="utf-8") == page


def test_numbers_are_those_of_the_measures_themselves(gatewise, run):
    assert gatewise("flow", run)[0] == 0
    folder = open_folder(run)
    by_run = {(flow.cell, flow.seed): flow for flow in folder.read_flow()}
    horizons = {(one.cell, one.seed): one.horizon for one in folder.read_record().runs}
    for network in folder.read_measures().networks:
        key = (network.cell, network.seed)
        assert network.diagnosis.horizon == horizons[key]
        if network.is_measured:  # what compare measured on the same sequences
            assert network.gradient.log_norm == pytest.approx(by_run[key].after.log_norm[0].tolist(), rel=1e-12)
            assert network.gradient.log_norm != pytest.approx(by_run[key].before.log_norm[0].tolist(), rel=1e-6)
            last = [column[-1] for column in network.map.log_norm]
            assert len(last) == 12
            spectrum = gw.flow.recurrent_spectrum(gw.load(network.path).recurrent)
            radii = [block.spectral_radius for block in network.spectrum]
            assert radii == pytest.approx(spectrum.spectral_radius[0].tolist())


def test_table_tells_verdict_and_what_to_try(gatewise, run):
    code, out, _ = gatewise("flow", run)
    assert code == 0
    assert "verdict" in out
    for label in ("RNN seed 0", "RNN seed 1", "LSTM seed 0", "LSTM seed 1"):
        assert label in out
    assert "largest λ" in out
    assert f"Report: {run / 'report.html'}" in out


def test_only_what_is_asked_for_is_measured(gatewise, run):
    for asked in ("gates,lyapunov", "none"):
        code, out, _ = gatewise("flow", run, "--json", "--measures", asked)
        assert code == 0
        network = next(n for n in json.loads(out)["networks"] if n["gradient"])
        assert [name for name in MEASURES if network[name] is not None] == [n for n in asked.split(",") if n != "none"]


def test_one_network_is_measured_on_the_data_of_its_run(gatewise, run, tmp_path):
    before = (run / "report.html").read_text(encoding="utf-8")
    network = run / "LSTM-seed0-lr0.01"
    code, out, err = gatewise("flow", network, "--json", "--page", tmp_path / "flow.html")
    assert code == 0, err
    (measured,) = json.loads(out)["networks"]
    assert (measured["cell"], measured["seed"], measured["diagnosis"]["needed_lag"]) == ("LSTM", 0, 11)
    assert not (run / "flow.json").exists()
    assert (run / "report.html").read_text(encoding="utf-8") == before
    page = (tmp_path / "flow.html").read_text(encoding="utf-8")
    assert 'id="flow-slope-1"' in page
    code, out, _ = gatewise("flow", network / "model.safetensors", "--measures", "none")
    assert code == 0
    assert "LSTM seed 0" in out


def test_saved_model_is_measured_on_named_data(gatewise, run, tmp_path):
    model = shutil.copytree(run / "RNN-seed0-lr0.01", tmp_path / "somewhere")
    code, out, err = gatewise("flow", model, "adding", "--length", "20", "--measures", "none", "--json")
    assert code == 0, err
    measured = json.loads(out)
    assert (measured["task"], measured["networks"][0]["seed"]) == ("adding-T20", None)
    assert measured["networks"][0]["score"] > 0


def test_sequences_too_short_for_a_capacity_have_none(gatewise, run):
    for length in (2, 12):
        arguments = ["adding", "--length", str(length), "--max-sequences", "1", "--json"]
        code, out, err = gatewise("flow", run / "RNN-seed0-lr0.01" / "model.safetensors", *arguments)
        assert code == 0, err
        assert json.loads(out)["networks"][0]["capacity"] is None


def test_table_is_found_again_unless_it_has_changed(gatewise, tmp_path):
    rows = [f"{day},{(day % 12) + 0.1 * (day % 5)},{day % 7}" for day in range(300)]
    (tmp_path / "t.csv").write_text("\n".join(["day,load,more", *rows]))
    options = ["--target", "load", "--window", "16", "--time", "day", "--inputs", "more", "--max-steps", "10"]
    assert gatewise("train", "t.csv", *options, "--hidden-size", "3", "--out", "run")[0] == 0
    code, out, err = gatewise("flow", "run", "--json", "--measures", "capacity")
    assert code == 0, err
    assert json.loads(out)["networks"][0]["capacity"]["lags"] == list(range(8))
    (tmp_path / "t.csv").write_text("\n".join(["day,load,more", *rows[:-1], "299,5,6"]))
    code, _, err = gatewise("flow", "run")
    assert code == 1
    assert "t.csv has changed since the run was made" in err
    assert len(err.splitlines()) == 1


def test_a_network_that_is_not_finite_is_diagnosed_and_left_at_that(gatewise, run):
    from gatewise.training import save

    model = gw.load(run / "RNN-seed0-lr0.01")
    model.recurrent.weight_hh_l0.data[1, 2] = float("nan")
    save(model, run / "RNN-seed0-lr0.01")
    code, out, err = gatewise("flow", run / "RNN-seed0-lr0.01")
    assert code == 0, err
    assert "NON_FINITE" in out
    assert "weight_hh_l0" in out


WRONG_USAGE = [
    (["nowhere"], "nothing at nowhere; give a run's folder"),
    (["."], "holds neither a run"),
    (["run", "adding"], "is measured on the data of its run: leave out 'adding'"),
    (["run", "--measures", "gates,lyapunof"], "unknown measure 'lyapunof'; did you mean 'lyapunov'?"),
    (["run", "--max-sequences", "0"], "--max-sequences must be at least 1, got 0"),
    (["run", "--length", "5"], "--length goes with DATA"),
    (["run", "--page", "no/such/folder.html"], "--page must lie in a folder that exists"),
    (["run/LSTM-seed0-lr0.01", "copy"], "does not fit copy-T100: input_size is 2, the data need 10"),
    (["run/LSTM-seed0-lr0.01", "addding"], "did you mean 'adding'?"),
    (["loose"], "loose belongs to no run: say on which DATA to measure it"),
    ([], "MODEL|RUN"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG_USAGE, ids=lambda value: " ".join(value)[:40])
def test_wrong_usage_is_named_and_exits_with_2(gatewise, run, tmp_path, arguments, message):
    shutil.copytree(run / "LSTM-seed0-lr0.01", tmp_path / "loose")
    code, out, err = gatewise("flow", *arguments)
    assert code == 2
    assert out == ""
    assert message in err
    assert "Traceback" not in err
    assert not (run / "flow.json").exists()


def test_run_without_networks_says_so(gatewise, run):
    for model in run.glob("*/model.safetensors"):
        model.unlink()
    code, _, err = gatewise("flow", run)
    assert code == 1
    assert "kept no network: every training diverged" in err


def test_help_imports_nothing_heavy():
    script = (
        "import sys; sys.argv = ['gatewise', 'flow', '--help']\n"
        "from gatewise.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "--max-sequences" in done.stdout
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert "typer" in loaded
    assert loaded.isdisjoint({"torch", "numpy", "polars", "plotly", "pydantic", "scipy", "rich", "jinja2"})
