"""Synthetic memory tasks and what every task, synthetic or real, has to offer."""

from gatewise.tasks.task import Baseline, Batch, Metric, Source, Task

__all__ = ["Baseline", "Batch", "Metric", "Source", "Task"]
