"""onnxruntime: inference through the ONNX operators RNN, LSTM and GRU, time-major as they are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import torch
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
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # Its idle threads spin for tens of milliseconds, which those who come after it would pay for.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    model = build_model(pair).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    inputs = {"x": pair.x.numpy()}
    return (
        lambda: session.run(["y"], inputs),
        lambda: {"output": torch.from_numpy(session.run(["y"], inputs)[0][:, 0])},
    )


def build_model(pair: LayerPair) -> onnx.ModelProto:
    """Return a graph of one node: x (T, N, I) to y (T, 1, N, H)."""
    weights = in_order(pair, GATES[pair.cell])
    constants = {"W": weights.w_ih, "R": weights.w_hh, "B": np.concatenate([weights.b_ih, weights.b_hh])}
    # torch's GRU applies the reset gate after the product with W_hn.
    options = {"linear_before_reset": 1} if pair.cell == "GRU" else {}
    node = helper.make_node(pair.cell, ["x", "W", "R", "B"], ["y"], hidden_size=pair.size.hidden_size, **options)
    graph = helper.make_graph(
        [node],
        pair.cell,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["T", "N", pair.size.input_size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["T", 1, "N", pair.size.hidden_size])],
        [numpy_helper.from_array(value[None], name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model
