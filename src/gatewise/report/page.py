"""The page: record in, one self-contained HTML file out.

Nothing is loaded: style sheet, script and plotly.js stand in the page; its content security policy forbids the rest.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from gatewise.records.flow import RunFlow
from gatewise.records.measures import FlowMeasures
from gatewise.records.schema import MetricRow, Record
from gatewise.records.store import RunFolder
from gatewise.report import words
from gatewise.report.charts import pictures
from gatewise.report.charts.picture import CONFIG
from gatewise.report.colours import colour
from gatewise.report.flow import FlowSection, flow_section
from gatewise.report.numbers import number, plain_number
from gatewise.report.table import cell_rows, run_rows

REFERENCES = [
    "Elman (1990). Finding structure in time. Cognitive Science 14. doi 10.1207/s15516709cog1402_1 (the RNN)",
    "Hochreiter & Schmidhuber (1997). Long short-term memory. Neural Computation 9. doi 10.1162/neco.1997.9.8.1735 "
    "(the LSTM)",
    "Gers, Schmidhuber & Cummins (2000). Learning to forget: continual prediction with LSTM. Neural Computation 12. "
    "doi 10.1162/089976600300015015 (its forget gate)",
    "Cho et al. (2014). Learning phrase representations using RNN encoder–decoder for statistical machine translation. "
    "arXiv 1406.1078 (the GRU)",
    "Pascanu, Mikolov & Bengio (2013). On the difficulty of training recurrent neural networks. arXiv 1211.5063 "
    "(vanishing and exploding gradients)",
    "Greff et al. (2017). LSTM: a search space odyssey. IEEE Transactions on Neural Networks and Learning Systems 28. "
    "doi 10.1109/TNNLS.2016.2582924 (the learning rate first)",
]


def render(
    record: Record, metrics: Sequence[MetricRow], flow: Sequence[RunFlow], measured: FlowMeasures | None = None
) -> str:
    """Return the report of one comparison.

    Parameters
    ----------
    record : Record
        The comparison, complete or still running.
    metrics : sequence of MetricRow
        The validations of all runs, in any order.
    flow : sequence of RunFlow
        The gradients and half-lives of the runs that were measured.
    measured : FlowMeasures, optional
        What `gatewise flow` measured, for the section Flow.

    Returns
    -------
    str
        One HTML page that needs no other file and no network; all of the record's text in it is escaped.
    """
    drawn = pictures(record, metrics, flow)
    section = None if measured is None else flow_section(measured, stands_alone=False)
    charts = [_chart(picture.name, picture.figure) for picture in drawn]
    charts += [] if section is None else _flow_charts(section)
    return _template("report.html").render(
        record=record,
        words=words,
        reasons=[(colour(reason.cell), reason.text) for reason in record.verdict.reasons] if record.verdict else [],
        rows=cell_rows(record, flow),
        runs=run_rows(record),
        pictures=drawn,
        flow=section,
        charts=charts,
        references=REFERENCES,
        version=record.gatewise_version,
        plotly_js=_plotly_js(),
    )


def render_run(folder: RunFolder, record: Record) -> str:
    """Return the report of the run in `folder`, whose record was read already, from what else is on the disk there."""
    return render(record, folder.read_metrics(), folder.read_flow(), folder.read_measures())


def render_flow(measured: FlowMeasures) -> str:
    """Return a page of its own for what `gatewise flow` measured."""
    section = flow_section(measured, stands_alone=True)
    return _template("flow_page.html").render(
        title=", ".join(dict.fromkeys(network.label for network in measured.networks)) + " on " + measured.task,
        description=measured.description,
        flow=section,
        charts=_flow_charts(section),
        created=measured.created,
        version=measured.gatewise_version,
        plotly_js=_plotly_js(),
    )


@cache
def _template(name: str) -> Template:
    """Return a compiled page."""
    environment = Environment(
        loader=PackageLoader("gatewise.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, plain_number=plain_number)
    return environment.get_template(name)


def _plotly_js() -> Markup:
    """Return plotly.js, which stands in the page: a library's own code, not data."""
    return Markup(get_plotlyjs())


def _flow_charts(section: FlowSection) -> list[dict[str, Any]]:
    return [
        _chart(f"{picture.name}-{number}", panel.figure)
        for picture in section.pictures
        for number, panel in enumerate(picture.panels, start=1)
    ]


def _chart(name: str, figure: go.Figure) -> dict[str, Any]:
    """Return what the page's script draws, as plain JSON values: plotly's own encoder turns NaN into null."""
    drawn: dict[str, Any] = json.loads(figure.to_json())
    return {"name": name, "data": drawn["data"], "layout": drawn["layout"], "config": CONFIG}
