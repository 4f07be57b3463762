"""Keras on TensorFlow: its layers under tf.function; batch first, as they are."""

from __future__ import annotations

import os
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf
import torch

from gatewise.bench import Job, LayerPair
from performance.peers.weights import TORCH_GATES, in_order, reorder

CLASSES = {"RNN": "SimpleRNN", "LSTM": "LSTM", "GRU": "GRU"}
GATES = {"RNN": "h", "LSTM": "ifgo", "GRU": "zrn"}


def limit_threads(threads: int) -> None:
    """Size TensorFlow's pools, before they are made."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def versions() -> dict[str, str]:
    return {"keras": keras.__version__, "tensorflow": tf.__version__}


def prepare(
    pair: LayerPair, job: Job, threads: int
) -> tuple[Callable[[], object], Callable[[], dict[str, torch.Tensor]]]:
    layer = getattr(keras.layers, CLASSES[pair.cell])(pair.size.hidden_size, return_sequences=True)
    x = tf.constant(pair.x.numpy().transpose(1, 0, 2).copy())
    layer.build(x.shape)
    weights = in_order(pair, GATES[pair.cell])
    bias = np.stack([weights.b_ih, weights.b_hh]) if pair.cell == "GRU" else weights.b_ih + weights.b_hh
    layer.set_weights([weights.w_ih.T, weights.w_hh.T, bias])

    def time_major(value: tf.Tensor) -> torch.Tensor:
        return torch.from_numpy(value.numpy().transpose(1, 0, 2).copy())

    @tf.function
    def infer() -> tf.Tensor:
        return layer(x)

    if job == "inference":
        return infer, lambda: {"output": time_major(infer())}

    @tf.function
    def train() -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            output = layer(x)
            loss = tf.reduce_sum(output)
        return output, tape.gradient(loss, [x, *layer.trainable_variables])

    def results() -> dict[str, torch.Tensor]:
        output, (grad_x, _, grad_recurrent, _) = train()
        grad_w_hh = reorder(grad_recurrent.numpy().T, GATES[pair.cell], TORCH_GATES[pair.cell])
        return {
            "output": time_major(output),
            "grad input": time_major(grad_x),
            "grad weight_hh_l0": torch.from_numpy(grad_w_hh),
        }

    return train, results
