"""What a cell is: the equations of RNN, LSTM and GRU, one file each, as the single source of truth."""

from gatewise.cells.cell import Cell, Gates, State
from gatewise.cells.derivative import StepDerivative
from gatewise.cells.gru import GRU
from gatewise.cells.lstm import LSTM
from gatewise.cells.rnn import RNN
from gatewise.cells.weights import Weights

__all__ = ["GRU", "LSTM", "RNN", "Cell", "Gates", "State", "StepDerivative", "Weights"]
