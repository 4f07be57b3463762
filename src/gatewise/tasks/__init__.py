"""Synthetic memory tasks and what every task, synthetic or real, has to offer."""

from gatewise.tasks.adding import Adding
from gatewise.tasks.copy import Copy
from gatewise.tasks.memory import MemoryTask
from gatewise.tasks.task import Baseline, Batch, Metric, Source, Task
from gatewise.tasks.temporal_order import TemporalOrder

__all__ = [
    "MEMORY_TASKS",
    "Adding",
    "Baseline",
    "Batch",
    "Copy",
    "MemoryTask",
    "Metric",
    "Source",
    "Task",
    "TemporalOrder",
]

MEMORY_TASKS: dict[str, type[Adding] | type[Copy] | type[TemporalOrder]] = {
    "adding": Adding,
    "copy": Copy,
    "temporal-order": TemporalOrder,
}
