"""The learning rate of each cell, chosen on validation data; the first seed's runs are the search.

References
----------
Greff, Srivastava, Koutnik, Steunebrink & Schmidhuber (2017). LSTM: a search space odyssey.
doi:10.1109/TNNLS.2016.2582924: the learning rate matters more than anything else and can be chosen on its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from gatewise.records import Run
from gatewise.tasks import Metric


def choose_learning_rate(runs: Sequence[Run], metric: Metric) -> float:
    """Return the learning rate of the best run of one cell.

    Runs that reached the goal stopped there, so among them the one that needed the fewest steps is best; below the goal
    the best validation score counts. Runs that diverged come last.
    """

    def rank(run: Run) -> tuple[int, float]:
        if run.stopped_because == "solved":
            return 0, run.steps
        return 2 if run.stopped_because == "not finite" else 1, metric.sort_key(run.validation_score)

    return min(runs, key=rank).learning_rate
