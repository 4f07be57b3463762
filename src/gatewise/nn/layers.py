"""The layers: drop-ins for torch.nn.RNN, LSTM and GRU with `trace` and `lengths`.

They subclass torch.nn.RNNBase, not torch.nn.LSTM and its siblings: Dynamo refuses every instance of those three.
Parameters, their names, initialisation and state_dict are torch's own; ``isinstance(layer, torch.nn.LSTM)`` is False.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import RNNBase
from torch.nn.utils.rnn import PackedSequence

from gatewise.nn.call import HiddenState, Lengths, hand_back, read_call
from gatewise.nn.composite import run_composite
from gatewise.nn.native import run_native
from gatewise.nn.paths import Path, choose_path, run
from gatewise.nn.trace import Trace, trace_of_composite, trace_of_native


class RecurrentLayer(RNNBase):
    """What the three layers share."""

    #: Which path the last call took, "native", "composite" or "torch"; None before the first.
    path: Path | None = None

    def forward(
        self,
        input: Tensor | PackedSequence,  # noqa: A002 - torch's name
        hx: HiddenState | None = None,
        lengths: Lengths | None = None,
    ) -> tuple[Tensor | PackedSequence, HiddenState]:
        """Run the layer; input, hx and results as torch.nn's layer of the same name.

        Parameters
        ----------
        input : Tensor or PackedSequence
            (T, N, I), with batch_first (N, T, I), unbatched (T, I), or packed.
        hx : Tensor or pair of Tensor, optional
            Initial states (L*D, N, P) and, for the LSTM, (L*D, N, H); zeros if left out.
        lengths : sequence of int, Tensor or int, optional
            Number of steps of each sequence of a padded batch, 0 to T, in any order; one int for an unbatched input.
            Padding is never read; the output is zero there; h_n is the state after each sequence's last step.

        Returns
        -------
        output : Tensor or PackedSequence
            h_t of the last layer, (T, N, D*P) or in the form of the input.
        h_n : Tensor (L*D, N, P); for the LSTM the pair (h_n, c_n)

        Raises
        ------
        ValueError, RuntimeError
            As torch.nn's layers, with the shape that was expected.
        TypeError
            If lengths are not integers.
        """
        call = read_call(self, input, hx, lengths)
        path = choose_path(call)
        self.__dict__["path"] = path  # Module.__setattr__ looks through parameters, buffers and modules first
        return hand_back(call, *run(path, self, call))

    def trace(self, x: Tensor | PackedSequence, hx: HiddenState | None = None, lengths: Lengths | None = None) -> Trace:
        """Run the layer and return every state and gate; arguments as in `forward`.

        Notes
        -----
        Differentiable: a loss may use gates and states. Takes the native path where `forward` would, and the
        composite path, a Python loop over the steps, elsewhere.
        """
        call = read_call(self, x, hx, lengths)
        is_native = not torch.compiler.is_compiling() and choose_path(call) == "native"
        self.path = "native" if is_native else "composite"
        if self.path == "native":
            return trace_of_native(self, run_native(self, call, tracing="graph"))
        return trace_of_composite(self, run_composite(self, call))


class RNN(RecurrentLayer):
    r"""A vanilla (Elman) RNN, drop-in for torch.nn.RNN.

    ::

        h_t = act(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)      act = tanh or relu

    Sizes: T steps, N sequences, I = input_size, H = hidden_size, L = num_layers, D = directions.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H, at least 1.
    num_layers : int, default 1
    nonlinearity : {"tanh", "relu"}, default "tanh"
    bias : bool, default True
    batch_first : bool, default False
        Input and output are (N, T, ...) instead of (T, N, ...); states keep their shape.
    dropout : float in [0, 1], default 0
        Between layers, in training mode.
    bidirectional : bool, default False

    Attributes
    ----------
    weight_ih_l[k] : Parameter of shape (H, I), for k > 0 (H, D*H)
    weight_hh_l[k] : Parameter of shape (H, H)
    bias_ih_l[k], bias_hh_l[k] : Parameter of shape (H,)

    Notes
    -----
    Initialisation is torch's, uniform in +-1/sqrt(H). Equations and citations: gatewise.cells.rnn.

    References
    ----------
    Elman (1990), doi:10.1207/s15516709cog1402_1

    Examples
    --------
    >>> import torch, gatewise as gw
    >>> layer = gw.nn.RNN(3, 5, batch_first=True)
    >>> output, h_n = layer(torch.zeros(2, 7, 3), lengths=[7, 4])
    >>> output.shape, h_n.shape
    (torch.Size([2, 7, 5]), torch.Size([1, 2, 5]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
        if "proj_size" in kwargs:
            raise ValueError("proj_size is only supported for LSTM, not RNN or GRU")
        self.nonlinearity = nonlinearity
        super().__init__(f"RNN_{nonlinearity.upper()}", input_size, hidden_size, num_layers, *args, **kwargs)


class LSTM(RecurrentLayer):
    r"""A long short-term memory, drop-in for torch.nn.LSTM.

    ::

        i, f, o = sigma(W_i. x_t + b_i. + W_h. h_{t-1} + b_h.)      g = tanh(the same with its own weights)
        c_t = f * c_{t-1} + i * g
        h_t = o * tanh(c_t)            with proj_size: h_t = W_hr (o * tanh(c_t))

    Sizes: T steps, N sequences, I = input_size, H = hidden_size, P = proj_size or H, L = num_layers, D = directions.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H, at least 1.
    num_layers : int, default 1
    bias : bool, default True
    batch_first : bool, default False
        Input and output are (N, T, ...) instead of (T, N, ...); states keep their shape.
    dropout : float in [0, 1], default 0
        Between layers, in training mode.
    bidirectional : bool, default False
    proj_size : int, default 0
        0 for none, else smaller than hidden_size.

    Attributes
    ----------
    weight_ih_l[k] : Parameter of shape (4H, I), rows i, f, g, o; for k > 0 (4H, D*P)
    weight_hh_l[k] : Parameter of shape (4H, P)
    bias_ih_l[k], bias_hh_l[k] : Parameter of shape (4H,)
    weight_hr_l[k] : Parameter of shape (P, H), with proj_size

    Notes
    -----
    Initialisation is torch's, uniform in +-1/sqrt(H): the forget gate starts near one half. Equations:
    gatewise.cells.lstm.

    References
    ----------
    Hochreiter & Schmidhuber (1997), doi:10.1162/neco.1997.9.8.1735
    Gers, Schmidhuber & Cummins (2000), doi:10.1162/089976600300015015 (the forget gate)

    Examples
    --------
    >>> import torch, gatewise as gw
    >>> layer = gw.nn.LSTM(3, 5, num_layers=2, bidirectional=True)
    >>> output, (h_n, c_n) = layer(torch.zeros(7, 2, 3))
    >>> output.shape, h_n.shape, c_n.shape
    (torch.Size([7, 2, 10]), torch.Size([4, 2, 5]), torch.Size([4, 2, 5]))
    >>> layer.trace(torch.zeros(7, 2, 3)).gates["forget_gate"].shape
    torch.Size([4, 7, 2, 5])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)


class GRU(RecurrentLayer):
    r"""A gated recurrent unit, drop-in for torch.nn.GRU.

    ::

        r, z = sigma(W_i. x_t + b_i. + W_h. h_{t-1} + b_h.)
        n = tanh(W_in x_t + b_in + r * (W_hn h_{t-1} + b_hn))
        h_t = (1 - z) * n + z * h_{t-1}

    Sizes: T steps, N sequences, I = input_size, H = hidden_size, L = num_layers, D = directions.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H, at least 1.
    num_layers : int, default 1
    bias : bool, default True
    batch_first : bool, default False
        Input and output are (N, T, ...) instead of (T, N, ...); states keep their shape.
    dropout : float in [0, 1], default 0
        Between layers, in training mode.
    bidirectional : bool, default False

    Attributes
    ----------
    weight_ih_l[k] : Parameter of shape (3H, I), rows r, z, n; for k > 0 (3H, D*H)
    weight_hh_l[k] : Parameter of shape (3H, H)
    bias_ih_l[k], bias_hh_l[k] : Parameter of shape (3H,)

    Notes
    -----
    z keeps the OLD state, as in Cho et al.; in Chung et al. it weighs the new one. The reset gate acts after the
    product W_hn h_{t-1} + b_hn, as in torch and cuDNN; in Cho et al. before it. Initialisation is torch's, uniform in
    +-1/sqrt(H).

    References
    ----------
    Cho et al. (2014), arXiv:1406.1078; Chung et al. (2014), arXiv:1412.3555

    Examples
    --------
    >>> import torch, gatewise as gw
    >>> layer = gw.nn.GRU(3, 5)
    >>> output, h_n = layer(torch.zeros(7, 3))
    >>> output.shape, h_n.shape
    (torch.Size([7, 5]), torch.Size([1, 5]))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "proj_size" in kwargs:
            raise ValueError("proj_size is only supported for LSTM, not RNN or GRU")
        super().__init__("GRU", *args, **kwargs)
