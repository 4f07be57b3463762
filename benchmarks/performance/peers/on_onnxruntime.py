"""onnxruntime: inference through the ONNX operators RNN, LSTM and GRU, time-major as they are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from gatewise.bench import Job, LayerPair
from performance.peers.weights import in_order

GATES = {"RNN": "h", "LSTM": "iofg", "GRU": "zrn"}  # ONNX: i o f c, and z r h
OPSET, IR_VERSION = 17, 8


def limit_threads(threads: int) -> None:
    """Do nothing: every session has its own pool, and is told its size."""


def versions() -> dict[str, str]:
    return {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__}


def prepare(
    pair: LayerPair, job: Job, threads: int
) -> tuple[Callable[[], object], Callable[[], dict[str, torch.Tensor]]] | None:
    if job == "training":
        return None
    session = open_session(build_model(pair), threads)
    inputs = {"x": pair.x.numpy()}
    return (
        lambda: session.run(["y"], inputs),
        lambda: {"output": torch.from_numpy(session.run(["y"], inputs)[0][:, 0])},
    )


def make_step(pair: LayerPair) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Return a step x (N, I) to h (N, H) of a session that is fed its own last states; one thread."""
    session = open_session(build_model(pair, has_states=True), threads=1)
    zeros = np.zeros((1, pair.size.num_sequences, pair.size.hidden_size), np.float32)
    states = {"h_0": zeros, "c_0": zeros} if pair.cell == "LSTM" else {"h_0": zeros}

    def step(x: NDArray[np.float32]) -> NDArray[np.float32]:
        y, *ended = session.run(None, {"x": x[None], **states})
        states.update(zip(states, ended, strict=True))
        return y[0, 0]

    return step


def open_session(model: onnx.ModelProto, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # Its idle threads spin for tens of milliseconds, which those who come after it would pay for.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def build_model(pair: LayerPair, *, has_states: bool = False) -> onnx.ModelProto:
    """Return a graph of one node: x (T, N, I) to y (T, 1, N, H); states (1, N, H) go in and out if wanted."""
    weights = in_order(pair, GATES[pair.cell])
    constants = {"W": weights.w_ih, "R": weights.w_hh, "B": np.concatenate([weights.b_ih, weights.b_hh])}
    # torch's GRU applies the reset gate after the product with W_hn.
    options = {"linear_before_reset": 1} if pair.cell == "GRU" else {}
    sizes, hidden_size = pair.size, pair.size.hidden_size
    letters = ("hc" if pair.cell == "LSTM" else "h") if has_states else ""
    before, after = [f"{letter}_0" for letter in letters], [f"{letter}_n" for letter in letters]
    inputs, outputs = ["x", "W", "R", "B", *([""] if before else []), *before], ["y", *after]
    node = helper.make_node(pair.cell, inputs, outputs, hidden_size=hidden_size, **options)
    state_shape = [1, sizes.num_sequences, hidden_size]
    graph = helper.make_graph(
        [node],
        pair.cell,
        [_value("x", ["T", "N", sizes.input_size]), *(_value(name, state_shape) for name in before)],
        [_value("y", ["T", 1, "N", hidden_size]), *(_value(name, state_shape) for name in after)],
        [numpy_helper.from_array(value[None], name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


def _value(name: str, shape: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
