"""The run record: what passes from training to drawing, and how it is kept on the disk."""

from gatewise.records.flow import FlowCurve, RunFlow
from gatewise.records.machine import machine_facts, usable_cores
from gatewise.records.measures import MEASURES, FlowMeasures, NetworkFlow
from gatewise.records.schema import (
    SCHEMA_VERSION,
    Baseline,
    CellSummary,
    ContextPoint,
    Machine,
    Metric,
    MetricRow,
    Reason,
    Record,
    Run,
    Settings,
    Source,
    TaskFacts,
    Verdict,
)
from gatewise.records.store import RunFolder, create_exact_folder, create_folder, open_folder
from gatewise.records.yardstick import (
    YARDSTICK_FILE,
    YardstickCriterion,
    YardstickRecord,
    YardstickRun,
    read_yardstick,
    write_yardstick,
)

__all__ = [
    "MEASURES",
    "SCHEMA_VERSION",
    "YARDSTICK_FILE",
    "Baseline",
    "CellSummary",
    "ContextPoint",
    "FlowCurve",
    "FlowMeasures",
    "Machine",
    "Metric",
    "MetricRow",
    "NetworkFlow",
    "Reason",
    "Record",
    "Run",
    "RunFlow",
    "RunFolder",
    "Settings",
    "Source",
    "TaskFacts",
    "Verdict",
    "YardstickCriterion",
    "YardstickRecord",
    "YardstickRun",
    "create_exact_folder",
    "create_folder",
    "machine_facts",
    "open_folder",
    "read_yardstick",
    "usable_cores",
    "write_yardstick",
]
