"""What a difference between states becomes over k steps: the singular values of products of step Jacobians.

Shapes: T steps, N sequences, K lags, S the size of the state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from gatewise.cells import StepDerivative
from gatewise.flow.given import checked_stack, require_sequences, require_trace, whole_number, whole_numbers
from gatewise.flow.product import Steps, log_singular_values
from gatewise.flow.trajectory import derivatives_of
from gatewise.nn import Trace


@dataclass(frozen=True)
class LagProduct:
    """Singular values of ``P(k) = J_end J_{end-1} ... J_{end-k+1} = ds_end / ds_{end-k}``, within one layer.

    The L*D and N axes are there for a trace and not for a stack of Jacobians.

    Attributes
    ----------
    lags : Tensor of shape (K,), int64
        k, in steps, rising.
    log_singular_values : Tensor of shape (L*D, K, N, S)
        Natural logs, largest first. -inf where a direction is lost exactly; NaN where float64 cannot tell it from lost,
        and where fewer than k steps lead to `end`.
    matrices : Tensor of shape (K, S, S) or None
        P(k), where asked for.
    """

    lags: Tensor
    log_singular_values: Tensor
    matrices: Tensor | None = None


@torch.inference_mode(False)
@torch.no_grad()
def lag_product(trace: Trace, lags: Sequence[int], end: int = -1) -> LagProduct:
    """Measure how the state at `end` depends on the state k steps before, in every direction at once.

    The largest singular value of P(k) bounds what gradient can come back over k steps: it vanishes for certain where
    that one does. The paths stay within the layer: s_{end-k} also reaches the layers above, which is not counted.

    Parameters
    ----------
    trace : gatewise.nn.Trace
        Of N sequences, L*D layers and directions. Not modified.
    lags : sequence of int
        k >= 0. The initial state counts as a step: at most as many as the sequence has steps, beyond that NaN.
    end : int, default -1
        Position of the last step; -1 for each sequence's last (in the reverse direction its first, position 0). NaN for
        sequences that end before.

    Returns
    -------
    LagProduct

    Raises
    ------
    ValueError
        If there is no lag, one is negative, `end` lies outside, or a Jacobian is not finite.
    RuntimeError
        If a parameter was changed after the trace was made.

    Notes
    -----
    The product is scaled at every step, and its SVD taken while its condition number is below 1e12. Beyond that the
    product is carried in factors by QR sweeps over P and its transpose, which keep every value's own digits; the
    diagonal of a single sweep would not be the singular values. Costs a product of (S, S) a step, with sweeps two QRs
    more, and at each such lag some QRs and SVDs. Holds 8 MB of Jacobians at a time, however long the sequence.

    References
    ----------
    Bengio, Simard & Frasconi (1994), doi:10.1109/72.279181; Pascanu, Mikolov & Bengio (2013), arXiv:1211.5063;
    Stewart (1995), On graded QR decompositions of products of matrices, ETNA 3

    Examples
    --------
    >>> import torch, gatewise as gw
    >>> trace = gw.nn.GRU(3, 5).trace(torch.randn(40, 2, 3))
    >>> product = gw.flow.lag_product(trace, lags=[0, 10, 30])
    >>> product.log_singular_values.shape
    torch.Size([1, 3, 2, 5])
    >>> largest = product.log_singular_values[0, :, 0, 0]
    >>> largest[0].item(), bool(largest[0] > largest[1] > largest[2])
    (0.0, True)
    """
    require_trace(trace)
    checked_lags, end = _checked_lags(lags), whole_number("end", end)
    num_rows, num_steps, num_sequences = trace.hidden.shape[:3]
    require_sequences(num_sequences)
    if not -1 <= end < num_steps:
        raise ValueError(f"end must be -1 or a position from 0 to {num_steps - 1}, got {end}")
    lengths = [num_steps] * num_sequences if trace.lengths is None else trace.lengths.tolist()
    rows = []
    for row in range(num_rows):
        is_reverse = row % trace.num_directions == 1
        derivatives = derivatives_of(trace, row)
        per_sequence = []
        for n, length in enumerate(lengths):
            last = end if end >= 0 else (0 if is_reverse else length - 1)
            num_before = 0 if last >= length else (length - last if is_reverse else last + 1)
            name = f"row {row} of the L*D axis, sequence {n}"
            make = _of_sequence(derivatives, n, last, is_reverse)
            steps = Steps(make, num_before, derivatives.state_size, trace.hidden.device, name)
            per_sequence.append(log_singular_values(steps, checked_lags))
        rows.append(torch.stack(per_sequence, dim=1))
    return LagProduct(torch.tensor(checked_lags), torch.stack(rows))


@torch.inference_mode(False)
@torch.no_grad()
def lag_product_from_jacobians(jacobians: Tensor, lags: Sequence[int], return_matrix: bool = False) -> LagProduct:
    """Return the singular values of products of any Jacobians: ``P(k) = J_T J_{T-1} ... J_{T-k+1}``.

    Parameters
    ----------
    jacobians : Tensor of shape (T, S, S)
        J_1 first. Promoted to float64, not modified.
    lags : sequence of int
        k >= 0; those above T come out as NaN.
    return_matrix : bool, default False
        Whether to return the products too. They over- and underflow where float64 does; the logarithms do not.

    Returns
    -------
    LagProduct
        `log_singular_values` (K, S); no L*D and N axes.

    Raises
    ------
    ValueError
        If there is no lag, one is negative, or a Jacobian is not finite.

    Examples
    --------
    A rotation keeps every length, whatever the lag.

    >>> import torch, gatewise as gw
    >>> turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    >>> gw.flow.lag_product_from_jacobians(0.1 * turn.expand(500, 2, 2), [500]).log_singular_values.round(decimals=2)
    tensor([[-1151.2900, -1151.2900]], dtype=torch.float64)
    """
    stack = checked_stack(jacobians)
    checked_lags = _checked_lags(lags)
    steps = Steps(stack.flip(0).__getitem__, len(stack), stack.shape[-1], stack.device, "jacobians")
    matrices = _matrices(steps, checked_lags) if return_matrix else None
    return LagProduct(torch.tensor(checked_lags), log_singular_values(steps, checked_lags), matrices)


def _matrices(steps: Steps, lags: list[int]) -> Tensor:
    """Return P(k) (K, S, S), multiplied out; NaN beyond the steps there are."""
    product = torch.eye(steps.state_size, dtype=torch.float64, device=steps.device)
    matrices = product.new_full((len(lags), *product.shape), math.nan)
    for lag, jacobian in enumerate(chain([product], steps.first(min(lags[-1], steps.count)))):
        product = product @ jacobian
        if lag in lags:
            matrices[lags.index(lag)] = product
    return matrices


def _checked_lags(lags: Sequence[int]) -> list[int]:
    checked = sorted(set(whole_numbers("lags", lags)))
    if not checked:
        raise ValueError("lags must name at least one lag, got none")
    if checked[0] < 0:
        raise ValueError(f"lags must not be negative, got {checked[0]}")
    return checked


def _of_sequence(derivatives: StepDerivative, sequence: int, last: int, is_reverse: bool) -> Callable[[Tensor], Tensor]:
    """Return the Jacobians of one sequence, that of the step at `last` first."""

    def jacobians(lags: Tensor) -> Tensor:
        positions = last + lags if is_reverse else last - lags
        return derivatives[positions, torch.tensor(sequence)].matrix()

    return jacobians
