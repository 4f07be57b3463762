"""Training RNN, LSTM and GRU side by side, fairly, and saying which to use and why."""

from gatewise.compare.comparison import Comparison
from gatewise.compare.measure import check_measures, measure_networks
from gatewise.compare.pool import Progress
from gatewise.compare.settings import CompareSettings, TaskChoice
from gatewise.compare.trained import Network, TrainedNetworks, find_networks
from gatewise.compare.worker import RunOutcome, RunPlan

__all__ = [
    "CompareSettings",
    "Comparison",
    "Network",
    "Progress",
    "RunOutcome",
    "RunPlan",
    "TaskChoice",
    "TrainedNetworks",
    "check_measures",
    "find_networks",
    "measure_networks",
]
