"""The run record, schema version 1: all that passes from training to drawing.

``record.json`` is the `Record` below; ``metrics.jsonl`` holds one `MetricRow` a line; ``flow.npz`` the arrays of
`flow.py`. A field may be added within a version; renaming, removing or changing the meaning of one raises
SCHEMA_VERSION.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

SCHEMA_VERSION = 1


# JSON knows no NaN: a number that may not be finite is written as null and read back as NaN.
MaybeNan = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]


class Part(BaseModel):
    """A frozen piece of the record that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=True, ser_json_inf_nan="null")


class Machine(Part):
    """Where the numbers were measured."""

    platform: str  # "Linux-6.1-x86_64"
    processor: str  # "AMD EPYC 7B13 (family 25, model 1)"
    cores: int
    jobs: int  # runs trained at the same time
    threads_per_run: int
    cpu_level: str  # the level the native core chose: "x86-64-v3", "neon", "none"
    python: str
    packages: dict[str, str]  # {"torch": "2.13.0", ...}


# Metric, Baseline and Source are those of gatewise.tasks over again: drawing a report must not wait for torch.


class Metric(Part):
    """The number by which the cells are compared."""

    name: str
    better: Literal["lower", "higher"]


class Baseline(Part):
    """A score that needs no network."""

    name: str
    score: float
    explanation: str = ""


class Source(Part):
    """The file the task was made from."""

    path: str
    sha256: str
    size: str


class TaskFacts(Part):
    """What was to be learned."""

    name: str
    description: str
    input_size: int
    output_size: int
    sequence_length: int
    goal: float | None
    needed_lag: int | None
    needed_lag_is_estimated: bool
    source: Source | None


class Settings(Part):
    """What was asked for; enough to run the comparison again."""

    source: str  # a task's name, a built-in's name or a path
    options: dict[str, str | int | list[str]]  # the task's own options: length, target, window, horizon, time, inputs
    cells: list[str]
    seeds: list[int]
    hidden_size: int  # of the reference cell
    reference_cell: str  # the one the others are matched to
    match: Literal["parameters", "hidden-size", "time"]
    learning_rates: list[float]
    batch_size: int
    max_steps: int
    time_budget_s: float | None
    clip_norm: float
    validate_every: int
    is_monitored: bool = False  # whether `MetricRow.flow` was kept; older records have none


class Run(Part):
    """One network trained once."""

    cell: str
    seed: int
    hidden_size: int
    parameters: int
    learning_rate: float
    is_chosen: bool  # False: a learning rate that the search on the first seed passed over
    score: MaybeNan  # test score at the best validation step
    validation_score: MaybeNan
    solved: bool | None  # None where the task has no goal
    steps: int  # steps trained
    best_step: int
    seconds: float
    stopped_because: Literal["solved", "max steps", "no improvement", "time budget", "not finite"]
    horizon: int | None  # gradient horizon after training, in steps; None where nothing could be measured
    horizon_is_censored: bool
    horizon_before: int | None  # the same before training
    folder: str


class CellSummary(Part):
    """One cell over its seeds."""

    cell: str
    seeds: int
    hidden_size: int
    parameters: int
    learning_rate: float
    mean_score: MaybeNan
    std_score: float | None  # sample standard deviation; None below two seeds
    seconds: float  # mean training time of a run
    solved: int | None  # runs that reached the goal
    horizon: int | None  # median over seeds, the lower of two in the middle
    horizon_is_censored: bool  # that run reached the last lag looked at
    step_time_ms: float | None = None  # measured for match = "time"


class ContextPoint(Part):
    """The score when the networks see only the last `steps` steps."""

    steps: int
    score: MaybeNan


class Reason(Part):
    """Why one cell lost or held."""

    cell: str
    text: str


class Verdict(Part):
    """Which cell to use, and why."""

    winner: str | None
    tied: list[str]  # cells that reach the goal in every seed, where more than one does
    text: str
    reasons: list[Reason]  # the best cell first
    difference: float | None  # winner or leader minus runner-up
    interval: tuple[float, float] | None  # 95 % Welch interval of that difference


class Record(Part):
    """The whole comparison."""

    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    name: str
    status: Literal["running", "complete"]
    created: str  # ISO 8601, UTC
    command: str
    gatewise_version: str
    machine: Machine
    task: TaskFacts
    settings: Settings
    metric: Metric
    baselines: list[Baseline]
    runs: list[Run]
    cells: list[CellSummary]
    context: list[ContextPoint]  # empty where the needed lag is known
    verdict: Verdict | None

    model_config = ConfigDict(populate_by_name=True)


class MetricRow(Part):
    """One validation during training."""

    cell: str
    seed: int
    learning_rate: float
    step: int
    training_loss: MaybeNan  # mean since the last row
    validation_score: MaybeNan
    gradient_norm: MaybeNan  # mean norm before clipping, since the last row
    seconds: float
    # What `gatewise.flow.Monitor` saw at this step, by the names of its scalars: "recurrent/l0/horizon" ... None where
    # nobody looked, as in records of versions that did not.
    flow: dict[str, MaybeNan] | None = None
