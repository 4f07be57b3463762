"""Eigenvalues and singular values of the recurrent weights, gate by gate."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import RNNBase

from gatewise.flow.given import require_recurrent
from gatewise.nn.weights import equations_of, num_directions, parameter_suffix, weights_of


@dataclass(frozen=True)
class RecurrentSpectrum:
    """What W_hh does to a vector, block by block; G blocks, H hidden units, P projection (P = H without one).

    With a projection a block is (H, P) and maps into another space than it comes from: it has singular values, but
    nothing that rests on eigenvalues, which is None then.

    Attributes
    ----------
    blocks : tuple of str
        The gates in torch's order; ("recurrent",) for the RNN, whose one block is no gate.
    singular_values : Tensor of shape (L*D, G, P)
        Largest first.
    eigenvalues : Tensor of shape (L*D, G, H), complex128, or None
        Largest modulus first.
    spectral_radius : Tensor of shape (L*D, G) or None
        Largest modulus of an eigenvalue.
    departure_from_normality : Tensor of shape (L*D, G) or None
        Henrici's ``sqrt(||W||_F^2 - sum |lambda|^2)``: 0 where the eigenvectors are orthogonal, so that eigenvalues
        tell how lengths change. Differences below about 1e-8 * ||W||_F are rounding.
    """

    blocks: tuple[str, ...]
    singular_values: Tensor
    eigenvalues: Tensor | None
    spectral_radius: Tensor | None
    departure_from_normality: Tensor | None


@torch.no_grad()
def recurrent_spectrum(layer: RNNBase) -> RecurrentSpectrum:
    """Return eigenvalues and singular values of each gate's block of W_hh, for every layer and direction.

    They describe the weights alone. What the gradient meets is the step Jacobian, W_hh between the activations' slopes:
    only for a tanh or relu RNN does a largest singular value of W_hh below one make it vanish for certain, and no
    spectral radius of W_hh, below or above one, decides anything.

    Parameters
    ----------
    layer : torch.nn or gatewise RNN, LSTM or GRU
        Not modified.

    Returns
    -------
    RecurrentSpectrum
        In float64.

    Raises
    ------
    TypeError
        If `layer` is no recurrent layer.
    ValueError
        If a weight is not finite.

    Notes
    -----
    Costs an SVD and an eigenvalue decomposition of (H, H) a block.

    References
    ----------
    Henrici, P. (1962). Bounds for iterates, inverses, spectral variation and fields of values of non-normal matrices.
    Numerische Mathematik 4. doi:10.1007/BF01386294; Pascanu, Mikolov & Bengio (2013), arXiv:1211.5063

    Examples
    --------
    >>> import torch, gatewise as gw
    >>> spectrum = gw.flow.recurrent_spectrum(gw.nn.LSTM(3, 5, bidirectional=True))
    >>> spectrum.blocks, spectrum.spectral_radius.shape
    (('input_gate', 'forget_gate', 'cell_gate', 'output_gate'), torch.Size([2, 4]))
    """
    require_recurrent(layer)
    equations = equations_of(layer)
    num_rows = layer.num_layers * num_directions(layer)
    weights = [_blocks(layer, row, equations.num_blocks) for row in range(num_rows)]
    stacked = torch.stack(weights)
    blocks = equations.gate_names or ("recurrent",)
    singular_values = torch.linalg.svdvals(stacked)
    if layer.proj_size:
        return RecurrentSpectrum(blocks, singular_values, None, None, None)
    eigenvalues = torch.linalg.eigvals(stacked)
    order = eigenvalues.abs().argsort(dim=-1, descending=True, stable=True)
    eigenvalues = eigenvalues.gather(-1, order)
    moduli = eigenvalues.abs()
    excess = stacked.square().sum(dim=(-2, -1)) - moduli.square().sum(dim=-1)
    return RecurrentSpectrum(blocks, singular_values, eigenvalues, moduli[..., 0], excess.clamp(min=0).sqrt())


def _blocks(layer: RNNBase, row: int, num_blocks: int) -> Tensor:
    """Return W_hh of one row of the L*D axis as (G, H, P) in float64."""
    recurrent = weights_of(layer, row).recurrent.detach().double()
    if not recurrent.isfinite().all():
        suffix = parameter_suffix(row, num_directions(layer))
        raise ValueError(f"weight_hh_{suffix} must be finite, got NaN or infinity in it")
    return recurrent.view(num_blocks, -1, recurrent.shape[1])
