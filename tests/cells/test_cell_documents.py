"""Each cell says where its equations come from, and refuses what it cannot compute."""

from __future__ import annotations

import inspect
import re

import pytest
import torch
from cell_cases import PLAIN, Case

from gatewise import cells

IDENTIFIER = re.compile(r"doi:10\.\d{4,}/\S+|arXiv:\d{4}\.\d{4,5}")
EXPECTED = {
    "RNN": ["doi:10.1207/s15516709cog1402_1", "arXiv:1504.00941"],
    "LSTM": ["doi:10.1162/neco.1997.9.8.1735", "doi:10.1162/089976600300015015", "arXiv:1402.1128"],
    "GRU": ["arXiv:1406.1078", "arXiv:1412.3555"],
}


@pytest.mark.parametrize("case", PLAIN, ids=lambda case: case.id)
def test_cell_module_cites_its_sources(case: Case) -> None:
    document = inspect.getmodule(type(case.equations)).__doc__
    found = IDENTIFIER.findall(document)
    for identifier in EXPECTED[case.equations.name]:
        assert identifier in found


def test_lstm_credits_the_forget_gate_to_gers() -> None:
    document = inspect.getmodule(cells.LSTM).__doc__
    assert re.search(r"Gers.*2000", document, flags=re.DOTALL)
    assert "forget gate" in document


def test_cell_names_are_the_three() -> None:
    assert {case.equations.name for case in PLAIN} == {"RNN", "LSTM", "GRU"}


def test_lstm_without_cell_state_says_so() -> None:
    case = PLAIN[2]
    weights = case.weights()
    projected = case.equations.project_input(case.inputs(3), weights)
    with pytest.raises(ValueError, match="cell state"):
        case.equations.step(projected, cells.State(torch.zeros(3, 5).double()), weights)


def test_weights_and_state_are_frozen() -> None:
    case = PLAIN[2]
    with pytest.raises(AttributeError):
        case.weights().input = torch.zeros(1)
    with pytest.raises(AttributeError):
        case.state(3).hidden = torch.zeros(1)
