"""The cells as modules: one step of an RNN, LSTM or GRU, drop-ins for torch.nn.RNNCell, LSTMCell and GRUCell.

On the native path, what a cell computes step by step has the very bits that a layer with the same weights computes over
the whole sequence. A step is no faster than torch.nn's, since nothing is left to be fused over time: for speed, hand
whole sequences to a layer.

Shapes: N sequences, I inputs, H hidden units.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from gatewise.cells import State
from gatewise.nn.one_step import RecurrentCell


class RNNCell(RecurrentCell):
    r"""One step of a vanilla (Elman) RNN, drop-in for torch.nn.RNNCell.

    ::

        h' = act(W_ih x + b_ih + W_hh h + b_hh)      act = tanh or relu

    Sizes: N sequences, I = input_size, H = hidden_size.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H; H at least 1.
    bias : bool, default True
    nonlinearity : {"tanh", "relu"}, default "tanh"
    device, dtype : optional
        Of the parameters.

    Attributes
    ----------
    weight_ih : Parameter of shape (H, I)
    weight_hh : Parameter of shape (H, H)
    bias_ih, bias_hh : Parameter of shape (H,)

    Notes
    -----
    Initialisation is torch's, uniform in +-1/sqrt(H). Equations and citations: gatewise.cells.rnn.

    References
    ----------
    Elman (1990), doi:10.1207/s15516709cog1402_1

    Examples
    --------
    >>> import torch, gatewise as gw
    >>> cell = gw.nn.RNNCell(3, 5)
    >>> h = torch.zeros(2, 5)
    >>> for x in torch.randn(7, 2, 3):
    ...     h = cell(x, h)
    >>> h.shape
    torch.Size([2, 5])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
        super().__init__(f"RNN_{nonlinearity.upper()}", input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:  # noqa: A002 - torch's name
        """Return h' (N, H) for x (N, I) and h (N, H), zeros if left out; or all three without N.

        Raises
        ------
        ValueError, RuntimeError, TypeError
            As torch.nn.RNNCell, with the shape that was expected.
        """
        return self.advance(input, _hidden_state(type(self).__name__, hx)).hidden


class LSTMCell(RecurrentCell):
    r"""One step of a long short-term memory, drop-in for torch.nn.LSTMCell.

    ::

        i, f, o = sigma(W_i. x + b_i. + W_h. h + b_h.)      g = tanh(the same with its own weights)
        c' = f * c + i * g
        h' = o * tanh(c')

    Sizes: N sequences, I = input_size, H = hidden_size.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H; H at least 1.
    bias : bool, default True
    device, dtype : optional
        Of the parameters.

    Attributes
    ----------
    weight_ih : Parameter of shape (4H, I), rows i, f, g, o
    weight_hh : Parameter of shape (4H, H)
    bias_ih, bias_hh : Parameter of shape (4H,)

    Notes
    -----
    Initialisation is torch's, uniform in +-1/sqrt(H): the forget gate starts near one half; see gatewise.nn.init.

    References
    ----------
    Hochreiter & Schmidhuber (1997), doi:10.1162/neco.1997.9.8.1735
    Gers, Schmidhuber & Cummins (2000), doi:10.1162/089976600300015015 (the forget gate)

    Examples
    --------
    >>> import torch, gatewise as gw
    >>> cell = gw.nn.LSTMCell(3, 5)
    >>> h, c = cell(torch.zeros(2, 3))
    >>> h, c = cell(torch.zeros(2, 3), (h, c))
    >>> h.shape, c.shape
    (torch.Size([2, 5]), torch.Size([2, 5]))
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__("LSTM", input_size, hidden_size, bias, 4, device, dtype)

    def forward(
        self,
        input: Tensor,  # noqa: A002 - torch's name
        hx: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return (h', c'), each (N, H), for x (N, I) and (h, c), zeros if left out; or all without N.

        Raises
        ------
        ValueError, RuntimeError, TypeError
            As torch.nn.LSTMCell, with the shape that was expected.
        """
        if hx is not None and not isinstance(hx, (tuple, list)):
            raise TypeError(f"LSTMCell: Expected hx to be a pair (h, c), got {type(hx).__name__}")
        if hx is not None and len(hx) != 2:
            raise RuntimeError(f"LSTMCell: Expected hx to be a pair (h, c), got {len(hx)} values")
        new = self.advance(input, None if hx is None else State(*hx))
        return new.hidden, new.require_cell()


class GRUCell(RecurrentCell):
    r"""One step of a gated recurrent unit, drop-in for torch.nn.GRUCell.

    ::

        r, z = sigma(W_i. x + b_i. + W_h. h + b_h.)
        n = tanh(W_in x + b_in + r * (W_hn h + b_hn))
        h' = (1 - z) * n + z * h

    Sizes: N sequences, I = input_size, H = hidden_size.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H; H at least 1.
    bias : bool, default True
    device, dtype : optional
        Of the parameters.

    Attributes
    ----------
    weight_ih : Parameter of shape (3H, I), rows r, z, n
    weight_hh : Parameter of shape (3H, H)
    bias_ih, bias_hh : Parameter of shape (3H,)

    Notes
    -----
    z keeps the OLD state, and the reset gate acts after the product W_hn h + b_hn; see gatewise.nn.GRU. Initialisation
    is torch's, uniform in +-1/sqrt(H).

    References
    ----------
    Cho et al. (2014), arXiv:1406.1078; Chung et al. (2014), arXiv:1412.3555

    Examples
    --------
    >>> import torch, gatewise as gw
    >>> gw.nn.GRUCell(3, 5)(torch.zeros(3), torch.zeros(5)).shape
    torch.Size([5])
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__("GRU", input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:  # noqa: A002 - torch's name
        """Return h' (N, H) for x (N, I) and h (N, H), zeros if left out; or all three without N.

        Raises
        ------
        ValueError, RuntimeError, TypeError
            As torch.nn.GRUCell, with the shape that was expected.
        """
        return self.advance(input, _hidden_state(type(self).__name__, hx)).hidden


def _hidden_state(name: str, hx: Tensor | None) -> State | None:
    """Return the state of a cell that has h alone."""
    if hx is not None and not isinstance(hx, Tensor):
        raise TypeError(f"{name}: Expected hx to be one tensor h, got {type(hx).__name__}")
    return None if hx is None else State(hx)
