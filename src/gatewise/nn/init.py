"""Initialisation for recurrent layers: on every layer and direction, and on the sum of torch's two biases.

Each function takes a layer or a cell, of torch.nn or of gatewise, or a model: then it acts on every one of them inside.
It changes parameters in place and returns what it was given. If one layer cannot be initialised so, none is changed.

Shapes: H hidden units, P projection (P = H without one), G gates.
"""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Generator, nn
from torch.nn import Module

from gatewise.nn.init_rows import overwrite, rows_of, rows_with_memory_gate

AnyModule = TypeVar("AnyModule", bound=Module)


def forget_bias_(module: AnyModule, value: float = 1.0) -> AnyModule:
    """Let the memory start open: set the bias of the LSTM's forget gate, of the GRU's update gate, to `value`.

    ::

        b_ih = value, b_hh = 0      in the rows of that gate, of every layer and direction

    Parameters
    ----------
    module : torch.nn.Module
        An LSTM or GRU layer or cell, or a model that contains no recurrent layers but these.
    value : float, default 1
        The bias b_ih + b_hh. While the preactivation is this bias alone, the gate keeps f = sigma(value) of the memory
        a step: sigma(1) = .731, a mean lifetime 1/(1-f) of 3.72 steps and a half-life of 2.21 steps.

    Returns
    -------
    torch.nn.Module
        `module`, changed in place.

    Raises
    ------
    TypeError
        For an RNN, which has no gate.
    ValueError
        Without biases, for weights that are computed (weight norm), or if `value` is not finite.

    Notes
    -----
    torch adds two biases, b_ih and b_hh: setting both to 1 makes it 2, and setting one leaves the other's noise.

    References
    ----------
    Gers, Schmidhuber & Cummins (2000), doi:10.1162/089976600300015015
    Jozefowicz, Zaremba & Sutskever (2015), An empirical exploration of recurrent network architectures. ICML.

    Examples
    --------
    >>> import torch, gatewise as gw
    >>> layer = gw.nn.init.forget_bias_(torch.nn.LSTM(3, 2, num_layers=2, bidirectional=True))
    >>> (layer.bias_ih_l1_reverse + layer.bias_hh_l1_reverse)[2:4].tolist()  # rows of the gates i, f, g, o
    [1.0, 1.0]
    """
    _check_finite("value", value)
    for row in rows_with_memory_gate(module, "forget_bias_"):
        row.set_bias(row.equations.memory_gate, value)
    return module


def chrono_(module: AnyModule, t_max: float, generator: Generator | None = None) -> AnyModule:
    """Spread the units' memory over time scales of up to `t_max` steps.

    ::

        u ~ U[1, t_max - 1] for each unit
        LSTM: b_f = ln u, b_i = -ln u      GRU: b_z = ln u      (b_ih; b_hh = 0 in these rows)

    Parameters
    ----------
    module : torch.nn.Module
        An LSTM or GRU layer or cell, or a model that contains no recurrent layers but these.
    t_max : float
        The longest dependency to be expected, in steps; at least 2.
    generator : torch.Generator, optional
        Where u is drawn; torch's own if left out.

    Returns
    -------
    torch.nn.Module
        `module`, changed in place.

    Raises
    ------
    TypeError
        For an RNN, which has no gate.
    ValueError
        If t_max is below 2, without biases, or for weights that are computed (weight norm).

    Notes
    -----
    A gate whose preactivation is its bias alone has the mean lifetime 1/(1 - sigma(ln u)) = 1 + u steps. torch's z
    keeps the OLD state, so the GRU's bias is that of the forget gate.

    References
    ----------
    Tallec & Ollivier (2018), Can recurrent neural networks warp time? arXiv:1804.11188

    Examples
    --------
    >>> import torch, gatewise as gw
    >>> layer = gw.nn.init.chrono_(gw.nn.GRU(3, 4), t_max=100)
    >>> lifetime = 1 + layer.bias_ih_l0[4:8].exp()  # rows of the gates r, z, n
    >>> bool(((2 <= lifetime) & (lifetime <= 100)).all())
    True
    """
    _check_finite("t_max", t_max)
    if t_max < 2:
        raise ValueError(f"t_max must be at least 2 steps, got {t_max}")
    for row in rows_with_memory_gate(module, "chrono_"):
        u = torch.empty(row.weights.hidden_size, dtype=torch.float64, device=_device_of(generator))
        log_u = u.uniform_(1, t_max - 1, generator=generator).log()
        row.set_bias(row.equations.memory_gate, log_u)
        if "input_gate" in row.equations.gate_names:
            row.set_bias("input_gate", -log_u)
    return module


def orthogonal_(module: AnyModule, gain: float = 1.0, generator: Generator | None = None) -> AnyModule:
    """Make the recurrent matrix of each gate orthogonal: every H x H block of weight_hh on its own.

    Parameters
    ----------
    module : torch.nn.Module
        Any recurrent layer or cell, or a model that contains some.
    gain : float, default 1
        Every singular value of every block.
    generator : torch.Generator, optional
        Where the matrices are drawn; torch's own if left out.

    Returns
    -------
    torch.nn.Module
        `module`, changed in place.

    Raises
    ------
    ValueError
        For weights that are computed (weight norm), or if `gain` is not finite.

    Notes
    -----
    ``torch.nn.init.orthogonal_`` on the stacked (G*H, H) matrix makes its H columns orthogonal, and no block. With
    proj_size the blocks are (H, P) and their columns orthonormal. Drawn uniformly (Haar) in float64. Only the vanilla
    RNN hands its gradient through this matrix alone; an orthogonal one keeps its norm where the activation is linear.

    References
    ----------
    Saxe, McClelland & Ganguli (2014), Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks. arXiv:1312.6120

    Examples
    --------
    >>> import torch, gatewise as gw
    >>> block = gw.nn.init.orthogonal_(torch.nn.GRU(3, 5)).weight_hh_l0[:5]
    >>> torch.allclose(block @ block.T, torch.eye(5), atol=1e-6)
    True
    """
    _check_finite("gain", gain)
    for row in rows_of(module, "orthogonal_"):
        for block in row.weights.recurrent.chunk(row.equations.num_blocks):
            drawn = torch.empty(block.shape, dtype=torch.float64, device=_device_of(generator))
            overwrite(block, nn.init.orthogonal_(drawn, gain, generator))
    return module


def identity_(module: AnyModule, gain: float = 1.0) -> AnyModule:
    """Let a vanilla RNN start by keeping its state: W_hh = gain * I, and both biases zero (the IRNN, with relu).

    Parameters
    ----------
    module : torch.nn.Module
        An RNN layer or cell, or a model that contains no recurrent layers but these.
    gain : float, default 1
        Below 1 the memory fades from step to step.

    Returns
    -------
    torch.nn.Module
        `module`, changed in place.

    Raises
    ------
    TypeError
        For an LSTM or GRU: their blocks are not what carries the state.
    ValueError
        For weights that are computed (weight norm), or if `gain` is not finite.

    Notes
    -----
    With relu and gain 1 every singular value of the step Jacobian is then exactly 0 or 1. The input weights stay.

    References
    ----------
    Le, Jaitly & Hinton (2015), A simple way to initialize recurrent networks of rectified linear units.
    arXiv:1504.00941

    Examples
    --------
    >>> import torch, gatewise as gw
    >>> gw.nn.init.identity_(gw.nn.RNN(3, 2, nonlinearity="relu")).weight_hh_l0.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    _check_finite("gain", gain)
    rows = rows_of(module, "identity_")
    for row in rows:
        if row.equations.gate_names:
            raise TypeError(f"{row.where} is of kind {row.equations.name}; pass the RNN layers alone")
    for row in rows:
        overwrite(row.weights.recurrent, gain * torch.eye(row.weights.hidden_size, dtype=torch.float64))
        for bias in (row.weights.input_bias, row.weights.recurrent_bias):
            if bias is not None:
                overwrite(bias, torch.zeros(()))
    return module


def _check_finite(name: str, value: float) -> None:
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value}")


def _device_of(generator: Generator | None) -> torch.device:
    return torch.device("cpu") if generator is None else generator.device
