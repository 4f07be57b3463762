"""Sources that must be accepted, and the data that come with the package."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import polars as pl
import pytest
import torch

import gatewise.data
from data.small_files import GOOD, Write
from gatewise.data import BUILT_IN, CharacterTask, ForecastTask, open_source, read_table
from gatewise.data.built_in import python_help
from gatewise.errors import UsageError
from gatewise.tasks import Batch

WRITTEN = [
    ("g.csv", GOOD),
    ("G.CSV", GOOD),
    ("g.tsv", GOOD.replace(",", "\t")),
    ("g.csv", GOOD.replace(",", ";")),
    ("g.csv", GOOD.replace(",", "|")),
    ("g.csv", GOOD.replace(",", " , ")),
    ("g.csv", GOOD.replace("\n", "\r\n") + "\r\n\r\n"),
    ("g.csv", GOOD.replace("\n", "\r")),
    ("g.csv", "\ufeff\n" + GOOD),
    ("g.csv", GOOD.replace("load", '"load"')),
]


@pytest.mark.parametrize(("name", "content"), WRITTEN)
def test_table_is_read_however_it_is_written(
    write: Write, same: Callable[[Batch, Batch], bool], name: str, content: str
) -> None:
    task = open_source(write(name, content), target="load", time="day", inputs=["wind"])
    pl.read_csv(GOOD.encode()).write_parquet("g.parquet")
    reference = open_source("g.parquet", target="load", time="day", inputs=["wind"])
    assert same(task.test(), reference.test())
    assert task.source is not None
    assert task.source.sha256 == hashlib.sha256(content.encode()).hexdigest()
    assert task.source.size == "100 rows"


def test_options_reach_the_task(write: Write) -> None:
    task = open_source(write("g.csv", GOOD), target="load", window=20, horizon=4, inputs=("wind",))
    assert isinstance(task, ForecastTask)
    assert (task.sequence_length, task.output_size, task.input_size) == (20, 4, 2)
    text = open_source(write("t.txt", "gate" * 300), length=30)
    assert isinstance(text, CharacterTask)
    assert text.sequence_length == 30


def test_target_gives_a_name_fit_for_a_folder(write: Write) -> None:
    content = GOOD.replace("load", "../load / kW")
    assert open_source(write("g.csv", content), target="../load / kW").name == "forecast-load-kW"


def test_line_ends_of_a_text_are_made_one(write: Write) -> None:
    task = open_source(write("t.txt", "gate\r\n" * 200))
    assert isinstance(task, CharacterTask)
    assert task.vocabulary.characters == "\naegt"


def test_read_table_refuses_other_extensions(write: Write) -> None:
    with pytest.raises(UsageError, match=r"g.xlsx is not known as a table; save it as .csv, .tsv or .parquet"):
        read_table(write("g.xlsx", "a"))


def test_el_nino_is_whole() -> None:
    task = open_source("el-nino")
    assert isinstance(task, ForecastTask)
    assert (task.name, task.sequence_length) == ("forecast-temperature", 24)
    assert (len(task.validation()), len(task.test())) == (110, 110)
    assert task.source is not None
    assert task.source.size == "732 rows"
    last = task.scaler.restore(task.test().targets[-1].double().numpy())
    assert last == pytest.approx(22.07)  # December 2010
    assert [baseline.name for baseline in task.baselines()] == ["last value", "seasonal naive (period 12)"]


def test_python_help_is_the_text_of_help() -> None:
    task = open_source("python-help")
    assert task.name == "text-python-help"
    assert task.source is not None
    assert task.source.sha256 == hashlib.sha256(python_help().encode()).hexdigest()
    scores = [baseline.score for baseline in task.baselines()]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_data_make_a_batch(name: str) -> None:
    task = open_source(name)
    batch = task.training_batch(4, torch.Generator().manual_seed(0))
    assert batch.inputs.shape == (4, task.sequence_length, task.input_size)
    assert batch.inputs.isfinite().all()


def test_every_public_name_exists() -> None:
    assert all(getattr(gatewise.data, name) for name in gatewise.data.__all__)
