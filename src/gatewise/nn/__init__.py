"""The layers: drop-ins for torch.nn.RNN, LSTM and GRU that open every gate, state and gradient."""

from gatewise.nn import init
from gatewise.nn.accelerate import Swap, accelerate, restore
from gatewise.nn.cell_modules import GRUCell, LSTMCell, RNNCell
from gatewise.nn.layers import GRU, LSTM, RNN
from gatewise.nn.record import LayerRecording, Recording, record
from gatewise.nn.recorded_call import RecordedCall
from gatewise.nn.selfcheck import SelfCheck, selfcheck
from gatewise.nn.stream import Stream, StreamState, stream
from gatewise.nn.trace import LayerTrace, Trace

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "GRUCell",
    "LSTMCell",
    "LayerRecording",
    "LayerTrace",
    "RNNCell",
    "RecordedCall",
    "Recording",
    "SelfCheck",
    "Stream",
    "StreamState",
    "Swap",
    "Trace",
    "accelerate",
    "init",
    "record",
    "restore",
    "selfcheck",
    "stream",
]
