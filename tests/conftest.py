"""What every test shares: this folder on the import path, so that `problems` and `tolerances` are found, and seeds."""

from __future__ import annotations

import hypothesis
import pytest
import torch


def pytest_configure(config: pytest.Config) -> None:
    """Let torch say once that oneDNN has no float32 projection: it is torch's own path that says so."""
    config.addinivalue_line("filterwarnings", "ignore:LSTM with projections is not supported with oneDNN:UserWarning")
    # The layers of the tests are too small for two threads, and torch's barrier waits long beside a busy neighbour.
    torch.set_num_threads(1)
    # The same examples in every run, and no clock: a neighbour's load is no error of ours.
    hypothesis.settings.register_profile("gatewise", deadline=None, derandomize=True)
    hypothesis.settings.load_profile("gatewise")


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    """Draw the same random numbers whichever tests ran before."""
    torch.manual_seed(0)
