"""flax on jax: flax.linen.RNN, a scan under jit; time-major, which spares it two transpositions."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import flax
import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import torch

from gatewise.bench import Job, LayerPair
from performance.peers.weights import TORCH_GATES, in_order

CELLS = {"RNN": "SimpleCell", "LSTM": "OptimizedLSTMCell", "GRU": "GRUCell"}
Parameters = dict[str, dict[str, jax.Array]]


def limit_threads(threads: int) -> None:
    """Size jax's pool, which has no option of its own: it is made at the first operation and asks NPROC."""
    os.environ["NPROC"] = str(threads)
    jax.config.update("jax_platforms", "cpu")


def versions() -> dict[str, str]:
    return {"jax": jax.__version__, "flax": flax.__version__}


def prepare(
    pair: LayerPair, job: Job, threads: int
) -> tuple[Callable[[], object], Callable[[], dict[str, torch.Tensor]]]:
    layer = flax.linen.RNN(getattr(flax.linen, CELLS[pair.cell])(pair.size.hidden_size), time_major=True)
    parameters, x = {"params": {"cell": parameters_of(pair)}}, jnp.asarray(pair.x.numpy())
    if job == "inference":
        infer = jax.jit(layer.apply)
        return (
            lambda: infer(parameters, x).block_until_ready(),
            lambda: {"output": torch.from_numpy(np.array(infer(parameters, x)))},
        )

    def loss(parameters: Any, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        output = layer.apply(parameters, x)
        return output.sum(), output

    train = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))

    def results() -> dict[str, torch.Tensor]:
        (grad_parameters, grad_x), output = train(parameters, x)
        cell = grad_parameters["params"]["cell"]
        grad_w_hh = np.concatenate([np.array(cell[name]["kernel"]).T for name in recurrent_names(pair.cell)])
        values = {"output": output, "grad input": grad_x, "grad weight_hh_l0": grad_w_hh}
        return {name: torch.from_numpy(np.array(value)) for name, value in values.items()}

    return lambda: jax.block_until_ready(train(parameters, x)), results


def recurrent_names(cell: str) -> list[str]:
    """Return the names of the recurrent products in torch's order of gates."""
    return ["h"] if cell == "RNN" else [f"h{gate}" for gate in TORCH_GATES[cell]]


def parameters_of(pair: LayerPair) -> Parameters:
    """Return flax's parameters; it has one bias a gate, and keeps apart only the two of the GRU's candidate."""
    weights = in_order(pair, TORCH_GATES[pair.cell])
    found: Parameters = {}
    blocks = [np.split(array, len(TORCH_GATES[pair.cell])) for array in weights]
    for name, w_ih, w_hh, b_ih, b_hh in zip(recurrent_names(pair.cell), *blocks, strict=True):
        inputs, hidden = {"kernel": jnp.asarray(w_ih.T)}, {"kernel": jnp.asarray(w_hh.T)}
        if name == "hn":
            inputs["bias"], hidden["bias"] = jnp.asarray(b_ih), jnp.asarray(b_hh)
        else:
            (hidden if pair.cell == "LSTM" else inputs)["bias"] = jnp.asarray(b_ih + b_hh)
        found |= {f"i{name[1:]}": inputs, name: hidden}
    return found
