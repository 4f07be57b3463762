"""Lyapunov exponents of a trained layer along real inputs, or of any stack of Jacobians."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import RNNBase
from torch.nn.utils.rnn import PackedSequence

from gatewise.cells import State
from gatewise.flow.drive import drive, reverse_each
from gatewise.flow.float64 import to_float64
from gatewise.flow.given import checked_stack, require_recurrent, require_sequences, whole_number
from gatewise.flow.growth import Growth, Matrices, Step
from gatewise.nn.call import HiddenState, Lengths, read_call
from gatewise.nn.observe import recurrent_layers
from gatewise.nn.weights import equations_of, num_directions, weights_of


@dataclass(frozen=True)
class LyapunovSpectrum:
    """The leading k Lyapunov exponents, natural log of the growth per step.

    The L*D axis is there for a layer and not for a stack of Jacobians.

    Attributes
    ----------
    exponents : Tensor of shape (L*D, k)
        Mean over the sequences, in the order of the QR: falling once converged. -inf where a direction is lost exactly,
        NaN where it shrinks so much more than the first (by a factor of about 1e-15 between two QRs) that float64
        cannot tell it from lost.
    by_sequence : Tensor of shape (L*D, N, k)
        NaN for sequences that have no step after the warm-up. N = 1 for a stack of Jacobians.
    convergence : Tensor of shape (L*D, C, k)
        `exponents` as they would be after the first `steps` steps.
    steps : Tensor of shape (C,), int64
        Steps after the warm-up.
    kaplan_yorke_dimension : Tensor of shape (L*D,)
        ``j + (l_1 + ... + l_j) / |l_{j+1}|``, j the largest number of exponents whose sum is not negative; 0 if the
        first is negative, S if the sum of all S is not. NaN where the k exponents are too few to tell.
    """

    exponents: Tensor
    by_sequence: Tensor
    convergence: Tensor
    steps: Tensor
    kaplan_yorke_dimension: Tensor


@torch.inference_mode(False)
@torch.no_grad()
def lyapunov_spectrum(
    layer: RNNBase,
    inputs: Tensor | PackedSequence,
    num_exponents: int | None = None,
    warm_up: int | None = None,
    qr_every: int = 1,
    hx: HiddenState | None = None,
    lengths: Lengths | None = None,
) -> LyapunovSpectrum:
    """Measure how fast small differences between states grow or shrink, direction by direction, given the inputs.

    ``lim 1/T log |r_jj|`` of the QR factors of J_T ... J_1 times k vectors in general position. Conditional exponents:
    each layer and direction for itself, driven by the sequence that it reads. A stack is block-triangular, so in a
    unidirectional one they together are the spectrum of the whole.

    Parameters
    ----------
    layer : torch.nn or gatewise RNN, LSTM or GRU
        Measured on a float64 copy, without dropout between layers: parameters, their .grad and the random state stay as
        they are.
    inputs : Tensor or PackedSequence
        What the layer is called with, T steps of N sequences.
    num_exponents : int, optional
        k, at most the size S of the state (H, for the LSTM 2H, with a projection P + H); all S if left out.
    warm_up : int, optional
        Steps of each sequence that do not count, while states and vectors settle; a tenth of T if left out.
    qr_every : int, default 1
        Steps between two QRs. More is faster, and loses the exponents that lie more than about 34 / qr_every below the
        first: they come out as NaN.
    hx, lengths : optional
        As in the layer's call.

    Returns
    -------
    LyapunovSpectrum
        Of L*D layers and directions; a reverse direction is followed as it runs, from the last step to the first.

    Raises
    ------
    TypeError
        If `layer` is no recurrent layer.
    ValueError
        If an argument is out of its range, there is no sequence, a state is not finite, or the layer's class has a
        forward of its own.

    Notes
    -----
    Costs T products of W_hh with k vectors and T / qr_every QRs of (S, k) a sequence, layer and direction. Holds one
    layer's inputs and outputs in float64; of its Jacobians only one, and that only where a direction is lost.

    References
    ----------
    Benettin et al. (1980), doi:10.1007/BF02128236; Kaplan & Yorke (1979), doi:10.1007/BFb0064319; for recurrent
    networks Engelken, Wolf & Abbott (2020), arXiv:2006.02427, and Vogt et al. (2022), doi:10.3389/fams.2022.818799

    Examples
    --------
    >>> import torch, gatewise as gw
    >>> layer = gw.nn.GRU(3, 8)
    >>> spectrum = gw.flow.lyapunov_spectrum(layer, torch.randn(200, 4, 3), num_exponents=2)
    >>> spectrum.exponents.shape, spectrum.convergence.shape, bool((spectrum.exponents < 0).all())
    (torch.Size([1, 2]), torch.Size([1, 180, 2]), True)
    """
    require_recurrent(layer)
    recurrent_layers(layer)  # refuses a class with a forward of its own, whose equations are unknown
    double = copy.deepcopy(layer).double()
    call = read_call(double, to_float64(inputs), to_float64(hx), lengths)
    require_sequences(call.inputs.shape[1])
    num_steps = len(call.inputs) if call.lengths is None else int(call.lengths.max())
    settings = _settings(_state_size(call.initial), num_steps, num_exponents, warm_up, qr_every)
    spectra = []
    below = call.inputs[:num_steps]
    for index in range(double.num_layers):
        outputs = []
        for direction in range(num_directions(double)):
            row = index * num_directions(double) + direction
            initial = State(call.initial.hidden[row], None if call.initial.cell is None else call.initial.cell[row])
            # Played backwards, the reverse direction runs forward: what it calls previous comes first.
            played = reverse_each(below, call.lengths) if direction == 1 else below
            hidden = below.new_zeros(*below.shape[:2], initial.hidden.shape[-1])
            name = f"layer {index}, {'reverse' if direction == 1 else 'forward'}"
            steps = drive(equations_of(double), weights_of(double, row), played, initial, call.lengths, hidden, name)
            spectra.append(_measure(steps, settings, played.shape[1], played.device))
            outputs.append(reverse_each(hidden, call.lengths) if direction == 1 else hidden)
        below = torch.cat(outputs, dim=-1)
    return LyapunovSpectrum(
        exponents=torch.stack([one.exponents for one in spectra]),
        by_sequence=torch.stack([one.by_sequence for one in spectra]),
        convergence=torch.stack([one.convergence for one in spectra]),
        steps=spectra[0].steps,
        kaplan_yorke_dimension=torch.stack([one.kaplan_yorke_dimension for one in spectra]),
    )


@torch.inference_mode(False)
@torch.no_grad()
def lyapunov_from_jacobians(
    jacobians: Tensor, num_exponents: int | None = None, warm_up: int | None = None, qr_every: int = 1
) -> LyapunovSpectrum:
    """Return the Lyapunov exponents of any sequence of Jacobians: ``lim 1/T log |r_jj|`` of J_T ... J_1.

    Parameters
    ----------
    jacobians : Tensor of shape (T, S, S)
        J_1 first. Promoted to float64, not modified.
    num_exponents, warm_up, qr_every
        As in `lyapunov_spectrum`.

    Returns
    -------
    LyapunovSpectrum
        Without the L*D axis.

    Raises
    ------
    ValueError
        If an argument is out of its range, or a Jacobian is not finite.

    References
    ----------
    Benettin et al. (1980), doi:10.1007/BF02128236

    Examples
    --------
    The exponents of a constant Jacobian are the logs of its absolute eigenvalues.

    >>> import torch, gatewise as gw
    >>> W = torch.tensor([[2.0, 1.0], [0.0, 0.5]])
    >>> gw.flow.lyapunov_from_jacobians(W.expand(100, 2, 2)).exponents.round(decimals=4)
    tensor([ 0.6931, -0.6931], dtype=torch.float64)
    """
    stack = checked_stack(jacobians)
    settings = _settings(stack.shape[-1], len(stack), num_exponents, warm_up, qr_every)
    norms = torch.linalg.matrix_norm(stack)
    steps = (Step(Matrices(stack[t : t + 1]), norms[t : t + 1]) for t in range(len(stack)))
    return _measure(steps, settings, 1, stack.device)


@dataclass(frozen=True)
class _Settings:
    state_size: int
    num_steps: int
    num_exponents: int
    warm_up: int
    qr_every: int


def _settings(
    state_size: int, num_steps: int, num_exponents: int | None, warm_up: int | None, qr_every: int
) -> _Settings:
    """Fill in what was left out and check the rest."""
    k = state_size if num_exponents is None else whole_number("num_exponents", num_exponents)
    skipped = num_steps // 10 if warm_up is None else whole_number("warm_up", warm_up)
    qr_every = whole_number("qr_every", qr_every)
    if not 1 <= k <= state_size:
        raise ValueError(f"num_exponents must be between 1 and {state_size}, the size of the state, got {k}")
    if num_steps == 0:
        raise ValueError("every sequence has length 0: there is no step to measure")
    if not 0 <= skipped < num_steps:
        raise ValueError(f"warm_up must be between 0 and {num_steps - 1} for {num_steps} steps, got {skipped}")
    if qr_every < 1:
        raise ValueError(f"qr_every must be at least 1, got {qr_every}")
    return _Settings(state_size, num_steps, k, skipped, qr_every)


def _state_size(state: State) -> int:
    return state.hidden.shape[-1] + (0 if state.cell is None else state.cell.shape[-1])


def _measure(steps: Iterable[Step], settings: _Settings, num_sequences: int, device: torch.device) -> LyapunovSpectrum:
    """Follow the vectors through all steps."""
    growth = Growth(num_sequences, settings.state_size, settings.num_exponents, device)
    num_counted, convergence = [], []
    for number, step in enumerate(steps, start=1):
        growth.advance(step)
        counted = number - settings.warm_up
        if counted % settings.qr_every == 0 or number == settings.num_steps:
            growth.orthogonalise()
            if counted == 0:
                growth.forget()
            elif counted > 0:
                num_counted.append(counted)
                convergence.append(growth.exponents()[growth.num_steps > 0].mean(dim=0))
    return LyapunovSpectrum(
        exponents=convergence[-1],
        by_sequence=growth.exponents(),
        convergence=torch.stack(convergence),
        steps=torch.tensor(num_counted),
        kaplan_yorke_dimension=_kaplan_yorke_dimension(convergence[-1], settings.state_size),
    )


def _kaplan_yorke_dimension(exponents: Tensor, state_size: int) -> Tensor:
    """Return the dimension (), by linear interpolation between the last sum that is not negative and the next."""
    known = exponents[: int(exponents.isnan().int().cummax(dim=0).values.eq(0).sum())]
    dimension, total = float(state_size) if len(known) == state_size else math.nan, 0.0
    for index, exponent in enumerate(known.sort(descending=True).values.tolist()):
        if total + exponent < 0:
            dimension = index + total / abs(exponent)
            break
        total += exponent
    return torch.tensor(dimension, dtype=torch.float64)
