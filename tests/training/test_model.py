"""Saving and loading a model."""

import pytest
import safetensors.torch
import torch

import gatewise as gw
from gatewise.errors import DataError, UsageError
from gatewise.tasks import Adding, Copy
from gatewise.training import MODEL_FILE, ModelConfig, SequenceModel, check_cell, save


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("task", [Adding(8), Copy(3)])
def test_saved_model_answers_as_before(cell, task, tmp_path):
    model = SequenceModel(ModelConfig.for_task(cell, 5, task)).eval()
    save(model, tmp_path)
    inputs = task.validation().inputs[:4]
    for path in (tmp_path, tmp_path / MODEL_FILE, str(tmp_path)):
        loaded = gw.load(path)
        assert loaded.config == model.config
        assert torch.equal(loaded(inputs), model(inputs))
    assert [file.name for file in tmp_path.iterdir()] == [MODEL_FILE]


def test_readout_shapes():
    inputs = torch.zeros(3, 7, 2)
    assert SequenceModel(ModelConfig("GRU", 2, 5, 4, "last"))(inputs).shape == (3, 4)
    assert SequenceModel(ModelConfig("GRU", 2, 5, 4, "every"))(inputs).shape == (3, 7, 4)


def test_missing_model_is_named(tmp_path):
    with pytest.raises(UsageError, match="no saved model at"):
        gw.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a model", safetensors.torch.save({"w": torch.zeros(2)})])
def test_foreign_or_damaged_file_is_refused(content, tmp_path):
    (tmp_path / MODEL_FILE).write_bytes(content)
    with pytest.raises(DataError, match="not a model that Gatewise saved"):
        gw.load(tmp_path)


def test_cell_names_are_checked():
    assert check_cell("lstm") == "LSTM"
    with pytest.raises(UsageError, match="unknown cell 'lstn'; did you mean 'LSTM'"):
        check_cell("lstn")
