"""What a cell is: the equations of RNN, LSTM and GRU, one file each, as the single source of truth."""

from gatewise.cells.cell import Cell, Gates, State, Weights
from gatewise.cells.gru import GRU
from gatewise.cells.lstm import LSTM
from gatewise.cells.rnn import RNN

__all__ = ["GRU", "LSTM", "RNN", "Cell", "Gates", "State", "Weights"]
