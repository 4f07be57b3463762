"""Training one network on one task, saving it and loading it again."""

from gatewise.training.loop import CancelledTrainingError, LoopSettings, Trained, Validation, evaluate, predict, train
from gatewise.training.model import LAYERS, MODEL_FILE, ModelConfig, SequenceModel, check_cell, load, save
from gatewise.training.watched import WatchedSteps

__all__ = [
    "LAYERS",
    "MODEL_FILE",
    "CancelledTrainingError",
    "LoopSettings",
    "ModelConfig",
    "SequenceModel",
    "Trained",
    "Validation",
    "WatchedSteps",
    "check_cell",
    "evaluate",
    "load",
    "predict",
    "save",
    "train",
]
