"""Training RNN, LSTM and GRU side by side, fairly, and saying which to use and why."""

from gatewise.compare.comparison import Comparison
from gatewise.compare.pool import Progress
from gatewise.compare.settings import CompareSettings, TaskChoice
from gatewise.compare.worker import RunOutcome, RunPlan

__all__ = ["CompareSettings", "Comparison", "Progress", "RunOutcome", "RunPlan", "TaskChoice"]
