"""What goes wrong in a training process reaches the user as one line."""

import pytest

from gatewise.compare.pool import Pool
from gatewise.compare.settings import TaskChoice
from gatewise.compare.worker import RunPlan
from gatewise.errors import GatewiseError
from gatewise.training import LoopSettings, ModelConfig


class Quiet:
    def started(self, plan):
        pass

    def advanced(self, plan, step, score):
        pass

    def finished(self, plan, outcome):
        pass


def plan_with(learning_rate):
    config = ModelConfig("GRU", 2, 4, 1, "last")
    return RunPlan(config, 0, LoopSettings(learning_rate, max_steps=5), "run")


def run_in_pool(plan, out, choice=None, sha256=None):
    with Pool(choice or TaskChoice("adding", length=6), sha256, out, 1, Quiet()) as pool:
        pool.submit(plan)
        return [outcome for _, outcome in pool.outcomes()]


def test_exception_in_a_run_is_one_line(tmp_path):
    with pytest.raises(GatewiseError, match=r"^GRU seed 0 lr 1e\+39 failed: RuntimeError: [^\n]*$"):
        run_in_pool(plan_with(1e39), tmp_path)


def test_data_that_changed_is_named(tmp_path):
    with pytest.raises(GatewiseError, match="adding changed while it was being read"):
        run_in_pool(plan_with(0.01), tmp_path, sha256="0" * 64)


def test_data_that_went_away_are_named(tmp_path):
    with pytest.raises(GatewiseError, match=r"gone\.txt"):
        run_in_pool(plan_with(0.01), tmp_path, choice=TaskChoice(str(tmp_path / "gone.txt")))


def test_network_that_diverges_at_once_is_neither_measured_nor_kept(tmp_path):
    (outcome,) = run_in_pool(plan_with(1e30), tmp_path)
    assert outcome.run.stopped_because == "not finite"
    assert outcome.run.score != outcome.run.score  # NaN
    assert outcome.run.horizon is None
    assert outcome.flow.half_life is None
    assert list(tmp_path.iterdir()) == []
