"""The network that is trained: one recurrent layer and a linear readout, saved with what it takes to build it again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import safetensors
import safetensors.torch
from torch import Tensor
from torch.nn import Linear, Module

from gatewise import nn
from gatewise.errors import DataError, UsageError, nearest
from gatewise.records.atomic import write_bytes
from gatewise.tasks import Task

MODEL_FILE = "model.safetensors"
LAYERS = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}


@dataclass(frozen=True)
class ModelConfig:
    """What it takes to build a `SequenceModel`."""

    cell: str  # "RNN", "LSTM" or "GRU"
    input_size: int
    hidden_size: int
    output_size: int
    readout: Literal["last", "every"]

    @classmethod
    def for_task(cls, cell: str, hidden_size: int, task: Task) -> ModelConfig:
        """Return the configuration that fits a task."""
        return cls(cell, task.input_size, hidden_size, task.output_size, task.readout)


class SequenceModel(Module):
    """A recurrent layer whose hidden state is read out linearly after the last step or at every step.

    Attributes
    ----------
    recurrent : gatewise.nn.RNN, LSTM or GRU
    readout : torch.nn.Linear
    config : ModelConfig
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.recurrent = LAYERS[config.cell](config.input_size, config.hidden_size, batch_first=True)
        self.readout = Linear(config.hidden_size, config.output_size)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (N, T, I) to (N, O) for readout "last", to (N, T, O) for "every"."""
        hidden, _ = self.recurrent(inputs)
        outputs: Tensor = self.readout(hidden if self.config.readout == "every" else hidden[:, -1])
        return outputs

    def num_parameters(self) -> int:
        """Return the number of trained numbers, readout included."""
        return sum(parameter.numel() for parameter in self.parameters())


def save(model: SequenceModel, folder: Path) -> None:
    """Write ``model.safetensors`` into `folder`, the configuration in its metadata."""
    metadata = {"gatewise_model": json.dumps(asdict(model.config))}
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    write_bytes(folder / MODEL_FILE, safetensors.torch.save(state, metadata))


def load(path: str | Path) -> SequenceModel:
    """Load a saved model.

    Parameters
    ----------
    path : str or Path
        A ``model.safetensors`` that Gatewise wrote, or its folder: ``runs/adding-T100/LSTM-seed0-lr0.01``.

    Returns
    -------
    SequenceModel
        In eval mode.

    Raises
    ------
    gatewise.errors.UsageError
        If there is no such file.
    gatewise.errors.DataError
        If the file was not written by Gatewise or is damaged.
    """
    file = Path(path)
    if file.is_dir():
        file = file / MODEL_FILE
    if not file.is_file():
        raise UsageError(f"no saved model at {file}; give a {MODEL_FILE} or the folder that holds one")
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            config = ModelConfig(**json.loads(metadata["gatewise_model"]))
            model = SequenceModel(config)
            model.load_state_dict({name: opened.get_tensor(name) for name in opened.keys()})  # noqa: SIM118 - no dict
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{file} is not a model that Gatewise saved, or it is damaged: {error}") from error
    return model.eval()


def check_cell(name: str) -> str:
    """Return the cell's proper name whatever its case, or say which cells there are."""
    by_upper_case = {cell.upper(): cell for cell in LAYERS}
    if name.upper() not in by_upper_case:
        raise UsageError(f"unknown cell {name!r}{nearest(name, list(LAYERS))}; known cells: {', '.join(LAYERS)}")
    return by_upper_case[name.upper()]
