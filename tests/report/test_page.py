from __future__ import annotations

import ast
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import gatewise.report
from gatewise.records.schema import Baseline, Source
from gatewise.report import render
from gatewise.report.page import REFERENCES

from .sample import Sample, sample

HOSTILE = "<script>alert(1)</script>"


class Reader(HTMLParser):
    """Collects the tags and the text of a page, scripts and styles apart."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside if tag != self._inside else ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.text += data


def read(data: Sample) -> Reader:
    return Reader(render(data.record, data.metrics, data.flow))


@pytest.fixture(scope="module")
def page() -> Reader:
    return read(sample())


def test_verdict_is_the_headline_with_reasons_and_interval(page: Reader) -> None:
    verdict = sample().record.verdict
    assert verdict is not None
    for sentence in (verdict.text, *(reason.text for reason in verdict.reasons)):
        assert sentence in page.text
    assert "The LSTM’s mean test mse is 0.00349 below the GRU’s" in page.text
    assert "goes from −0.00413 to −0.00285: it leaves out zero" in page.text
    assert page.text.index(verdict.text) < page.text.index("The numbers")


@pytest.mark.parametrize(
    "text", ["17\u202f153", "0.000810 ± 0.000049", "3 of 3", "≥\u202f99", "always the mean", "0.1667"]
)
def test_table_holds_the_numbers(page: Reader, text: str) -> None:
    assert text in page.text


def test_only_the_winner_is_marked(page: Reader) -> None:
    marked = [attributes for tag, attributes in page.tags if tag == "tr" and attributes.get("class") == "marked"]
    assert [row["style"] for row in marked] == ["--cell: #0072B2"]
    assert page.text.count("winner") == page.text.count("A winner is named") + 1


def test_tied_cells_are_marked() -> None:
    data = sample()
    assert data.record.verdict is not None
    verdict = data.record.verdict.model_copy(update={"winner": None, "tied": ["LSTM", "GRU"]})
    marked = [
        attributes for _, attributes in read(data.changed(verdict=verdict)).tags if attributes.get("class") == "marked"
    ]
    assert len(marked) == 2


def test_every_run_is_listed_also_those_passed_over(page: Reader) -> None:
    runs = sample().record.runs
    passed_over = [attributes for tag, attributes in page.tags if attributes.get("class") == "passed-over"]
    assert len(passed_over) == sum(not run.is_chosen for run in runs) == 6
    assert sum(attributes.get("scope") == "row" for _, attributes in page.tags) == len(runs) + 3 + 2


def test_page_says_how_it_was_made(page: Reader) -> None:
    for text in ("gatewise compare adding --length 100 --seeds 3", "AMD EPYC 7B13", "2.13.0", "x86-64-v3", *REFERENCES):
        assert text in page.text


def test_source_file_is_named_with_its_hash() -> None:
    data = sample()
    source = Source(path='/data/it\'s "quoted".csv', sha256="ab" * 32, size="732 rows")
    text = read(data.changed(task=data.record.task.model_copy(update={"source": source}))).text
    assert source.path in text
    assert source.sha256 in text


def test_nothing_is_loaded(page: Reader) -> None:
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe", "img", "object"}
        assert not {"src", "href", "srcset", "data"} & attributes.keys()
    policy = next(attributes["content"] for _, attributes in page.tags if attributes.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    css = (Path(gatewise.report.__file__).parent / "templates" / "report.css").read_text()
    assert not re.search(r"url\(|@import", css)


def test_plotly_is_inlined_once(page: Reader) -> None:
    assert sum(len(script) > 1_000_000 for script in page.scripts) == 1


def test_hostile_text_stays_text_everywhere() -> None:
    data, name = sample(), f"{HOSTILE} %{{y}}"
    hostile = data.changed(
        task=data.record.task.model_copy(update={"name": name, "description": name}),
        command=f'gatewise compare "{HOSTILE}"',
        metric=data.record.metric.model_copy(update={"name": name}),
        baselines=[Baseline(name=name, score=0.1, explanation=name)],
        settings=data.record.settings.model_copy(update={"options": {name: [name]}}),
    )
    harmless, attacked = read(data), read(hostile)
    assert len(attacked.scripts) == len(harmless.scripts) == 3
    assert attacked.text.count(HOSTILE) >= 8
    charts = attacked.scripts[1]
    assert "<" not in charts
    assert "&lt;script&gt;" in json.dumps(json.loads(charts))


def test_hostile_cell_name_stays_text() -> None:
    data = sample()
    record = json.dumps(data.record.model_dump(by_alias=True, mode="json")).replace('"RNN"', json.dumps(HOSTILE))
    metrics = [row.model_copy(update={"cell": HOSTILE}) if row.cell == "RNN" else row for row in data.metrics]
    page = read(Sample(type(data.record).model_validate_json(record), metrics, data.flow))
    assert len(page.scripts) == 3
    assert HOSTILE in page.text


def test_report_never_imports_torch() -> None:
    for path in Path(gatewise.report.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert not any(alias.name.startswith("torch") for alias in node.names), path
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("torch"), path
