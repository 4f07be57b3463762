"""Training RNN, LSTM and GRU side by side, fairly, and saying which to use and why."""

from gatewise.compare.comparison import Comparison
from gatewise.compare.pool import Pool, Progress, Silent
from gatewise.compare.settings import CompareSettings, TaskChoice, suggested_max_steps
from gatewise.compare.worker import RunOutcome, RunPlan

__all__ = [
    "CompareSettings",
    "Comparison",
    "Pool",
    "Progress",
    "RunOutcome",
    "RunPlan",
    "Silent",
    "TaskChoice",
    "suggested_max_steps",
]
