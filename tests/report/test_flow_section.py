"""The section Flow: verdicts that explain scores, in the run's report and on a page of its own."""

from __future__ import annotations

import json
import math

import pytest

from gatewise.report import render, render_flow
from gatewise.report.flow import cell_flows, flow_row, flow_section

from .flow_sample import diagnosis, measures, network
from .sample import sample
from .test_page import HOSTILE, Reader


def test_a_cell_is_told_by_verdict_reach_and_score() -> None:
    rnn, lstm = cell_flows(measures())
    assert rnn.text == (
        "RNN: VANISHING in 2 of 2 networks. The gradient reaches back 1 of the 3 steps that the task needs; each step "
        "back multiplies it by 0.0498. It solves the task in none of 2 runs."
    )
    assert [remedy.code for remedy in rnn.advice] == ["gw.nn.init.orthogonal_(model)"]
    assert lstm.text == (
        "LSTM: HEALTHY. The gradient reaches back all 3 steps, to the start; each step back multiplies it by 0.905. It "
        "solves the task."
    )
    assert list(lstm.advice) == []


@pytest.mark.parametrize(
    ("cell", "solved", "said"),
    [
        ("LSTM", False, "It does not solve the task: the gradient is not what holds it back."),
        ("RNN", True, "It solves the task all the same: what lies further back is seldom needed."),
        ("RNN", None, "multiplies it by 0.0498."),
    ],
)
def test_verdict_and_score_are_held_together(cell: str, solved: bool | None, said: str) -> None:
    (only,) = cell_flows(measures(networks=[network(cell, solved=solved)]))
    assert only.text.endswith(said)


def test_the_worst_verdict_is_what_is_explained() -> None:
    exploding = network("RNN", seed=1, diagnosis=diagnosis("RNN", verdict="EXPLODING", growth=1e5, slope=4.0))
    (cell,) = cell_flows(measures(networks=[network("RNN"), exploding]))
    assert "EXPLODING in 1, VANISHING in 1 of 2 networks" in cell.text
    assert "has grown 100" in cell.text


def test_what_is_not_finite_or_never_arrives_is_said() -> None:
    broken = network("RNN", diagnosis=diagnosis("RNN", verdict="NON_FINITE", non_finite="weight_hh_l0 is NaN"))
    assert "First: weight_hh_l0 is NaN." in cell_flows(measures(networks=[broken]))[0].text
    cut_off = network("RNN", diagnosis=diagnosis("RNN", horizon=None, slope=math.nan, growth=math.nan))
    assert "No gradient reaches its states." in cell_flows(measures(networks=[cut_off]))[0].text
    row = flow_row(cut_off)
    assert (row.horizon, row.factor, row.growth) == ("–", "–", "–")


def test_needed_lag_that_is_estimated_or_unknown_is_called_so() -> None:
    estimated = cell_flows(measures(needed_lag_is_estimated=True))[0].text
    assert "of the estimated 3 steps that the task needs" in estimated
    unknown = cell_flows(measures(needed_lag=None))[0].text
    assert "of the 3 steps asked for, half of the sequence" in unknown


def test_a_horizon_beyond_the_needed_lag_is_enough_for_it() -> None:
    beyond = network("LSTM", diagnosis=diagnosis("LSTM", horizon=2, needed_lag=1.5))
    said = cell_flows(measures(networks=[beyond]))[0].text
    assert "reaches back 2 steps, enough for the 1.5 steps that the task needs;" in said


def test_report_of_a_run_holds_the_section_only_once_it_was_measured() -> None:
    data = sample()
    without = Reader(render(data.record, data.metrics, data.flow))
    with_flow = Reader(render(data.record, data.metrics, data.flow, measures()))
    assert "VANISHING" not in without.text
    assert "RNN: VANISHING in 2 of 2 networks." in with_flow.text
    ids = [attributes["id"] for _, attributes in with_flow.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {"flow-map-1", "flow-map-2", "flow-lyapunov-1"} <= set(ids)
    charts = {chart["name"] for chart in json.loads(with_flow.scripts[1])}
    assert charts == {name for name in ids if name and not name.endswith("-title")} - {"charts"}


def test_page_of_its_own_is_complete_and_loads_nothing() -> None:
    page = Reader(render_flow(measures()))
    assert sum(len(script) > 1_000_000 for script in page.scripts) == 1
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe", "img", "object"}
        assert not {"src", "href", "srcset", "data"} & attributes.keys()
    assert "default-src 'none'" in str(next(a["content"] for _, a in page.tags if a.get("http-equiv")))
    assert "gatewise flow runs/adding-T4" in page.text


def test_squares_stand_two_abreast_on_a_phone_and_maps_alone() -> None:
    panels = [
        attributes for _, attributes in Reader(render_flow(measures())).tags if attributes.get("class") == "panels"
    ]
    styles = {attributes["style"] for attributes in panels if "style" in attributes}
    assert styles == {"--panel: 175px; --columns: 2", "--panel: 280px; --columns: 1"}


def test_hostile_text_stays_text() -> None:
    hostile = measures(task=HOSTILE, command=HOSTILE, description=HOSTILE, metric=HOSTILE)
    hostile = hostile.model_copy(update={"networks": [network("RNN").model_copy(update={"cell": HOSTILE})]})
    page = Reader(render_flow(hostile))
    assert len(page.scripts) == 3
    assert page.text.count(HOSTILE) >= 5
    assert "<" not in page.scripts[1]


def test_introduction_names_the_networks_that_are_drawn() -> None:
    section = flow_section(measures(), stands_alone=False)
    assert section.introduction.endswith("the one in the middle by validation score: RNN seed 0, LSTM seed 0.")
    assert [verdict for verdict, _ in section.meanings] == ["HEALTHY", "VANISHING"]
