"""Whether the gradient vanishes, explodes or stops being a number, where, and what can be tried.

Shapes: L*D layers times directions, K lags, T steps, N sequences.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, RNNBase

from gatewise.flow.advice import Finding, advice_for, advice_outside
from gatewise.flow.diagnosis import Diagnosis, Evidence, LayerDiagnosis
from gatewise.flow.float64 import CopyRun, run_in_float64, run_in_own_precision
from gatewise.flow.gradient_by_lag import norms_by_step
from gatewise.flow.hidden_gradient import gradient, gradients_of
from gatewise.flow.lag_curve import HORIZON_FACTOR, GradientByLag, norms_at_lags, summarise
from gatewise.flow.loss import scalar_loss
from gatewise.flow.non_finite import NonFinite, bad_gradient, bad_in_row, bad_parameter, value_name
from gatewise.flow.read_steps import last_steps_read
from gatewise.flow.signs import Signs, signs_of
from gatewise.flow.steps import lengths_of
from gatewise.flow.verdict import GROWTH_LIMIT, Thresholds, Verdict, flow_of, worst
from gatewise.nn.composite import Run
from gatewise.nn.weights import equations_of, num_directions, weights_of


def diagnose(
    model: Module,
    inputs: Any,
    loss_fn: Callable[[Any], Tensor],
    needed_lag: float | None = None,
    growth_limit: float = GROWTH_LIMIT,
    horizon_factor: float = HORIZON_FACTOR,
) -> Diagnosis:
    """Say of every recurrent layer whether its gradient is NON_FINITE, EXPLODING, VANISHING or HEALTHY, and why.

    NON_FINITE: a parameter, input, gate, state, loss or gradient is NaN or infinite in the model's own precision.
    EXPLODING: `gradient_by_lag` has a slope above 0, and its norm at the longest lag is above `growth_limit` times that
    at lag 0. VANISHING: its horizon is below `needed_lag`. HEALTHY: none of these. The model's verdict is the worst.

    Parameters
    ----------
    model : torch.nn.Module
        Contains RNN, LSTM or GRU layers of torch.nn or gatewise. Run on copies: parameters, their .grad and the random
        state stay as they are.
    inputs : Tensor, tuple or dict
        What the model is called with: one batch of real data.
    loss_fn : callable
        Maps the model's output to the scalar that is trained on.
    needed_lag : float, optional
        Steps that the gradient must reach back; half of each layer's longest sequence if left out. Sequences that are
        shorter cannot show more than reaching their first step.
    growth_limit : float, default 100
    horizon_factor : float, default 100

    Returns
    -------
    Diagnosis
        Verdict, numbers with their thresholds and sources, first bad step, layer and gate, and advice. ``print`` it.

    Raises
    ------
    ValueError
        If there is no recurrent layer or no sequence, one is called more than once other than step by step through one
        sequence, the loss is no scalar or has no gradient, or a threshold makes no sense.

    Notes
    -----
    The gradient is sent back from the last step at which the loss puts any on the layer: the last valid one, unless the
    loss reads earlier steps alone. One batch says how the gradient flows now: diagnose again after some training, or
    leave a `Monitor` on. Costs two forward passes on the composite path and, per layer and direction, some four
    backward passes.

    References
    ----------
    Bengio, Simard & Frasconi (1994), doi:10.1109/72.279181; Pascanu, Mikolov & Bengio (2013), arXiv:1211.5063;
    Tallec & Ollivier (2018), arXiv:1804.11188 (chrono initialisation); Le, Jaitly & Hinton (2015), arXiv:1504.00941
    (identity initialisation)

    Examples
    --------
    >>> import torch, gatewise as gw
    >>> model, x = torch.nn.RNN(3, 8), torch.randn(60, 4, 3)
    >>> diagnosis = gw.flow.diagnose(model, x, lambda output: output[0][-1].square().mean())
    >>> diagnosis.verdict, diagnosis.worst.advice[0].code.splitlines()[0]
    (<Verdict.VANISHING: 'VANISHING'>, 'gw.nn.init.orthogonal_(model)')
    """
    thresholds = Thresholds(needed_lag, growth_limit, horizon_factor).check()
    with run_in_own_precision(model, inputs) as own:
        found = _look_for_non_finite(own, scalar_loss(loss_fn, own.output))
    layers: list[LayerDiagnosis] = []
    with run_in_float64(model, inputs) as double:
        loss = scalar_loss(loss_fn, double.output)
        for name, (layer, run) in double.layers.items():
            layers += _diagnose_layer(name, layer, run, double.calls[name], loss, found, thresholds)
    verdicts = [layer.verdict for layer in layers] + [Verdict.NON_FINITE] * (found.first is not None)
    return Diagnosis(
        verdict=worst(verdicts),
        layers=tuple(layers),
        non_finite=found.first,
        loss=found.loss,
        gradient_norm=found.gradient_norm,
        thresholds=thresholds,
        advice=advice_outside(model, found.first, set(double.calls)),
    )


@dataclass(frozen=True)
class _Found:
    """What the run in the model's own precision showed."""

    first: NonFinite | None
    rows: dict[str, list[NonFinite | None]]  # by layer, L*D
    loss: float
    gradient_norm: float
    dtype: torch.dtype


def _look_for_non_finite(own: CopyRun, loss: Tensor) -> _Found:
    rows = {}
    for name, (layer, run) in own.layers.items():
        if not run.call.inputs.shape[1]:
            raise ValueError(f"inputs must hold at least one sequence; layer {name!r} got none")
        if not lengths_of(run).any():
            raise ValueError(f"every sequence of layer {name!r} has length 0: there is no step to diagnose")
        rows[name] = [bad_in_row(name, layer, own.calls[name], index, loss) for index in range(len(run.directions))]
    parameters = gradient(loss, list(own.model.parameters()))
    in_order = [bad for of_layer in rows.values() for bad in of_layer if bad is not None]
    causes = [
        bad_parameter(own.model),
        next((bad for bad in in_order if bad.kind in ("input", "forward")), None),
        None if loss.isfinite().all() else NonFinite("loss", "loss", value_name(loss)),
        next((bad for bad in reversed(in_order) if bad.kind == "gradient"), None),
        bad_gradient(own.model, iter(parameters)),
    ]
    norms = torch.stack([part.double().norm() for part in parameters])
    return _Found(
        first=next((cause for cause in causes if cause is not None), None),
        rows=rows,
        loss=float(loss.detach()),
        gradient_norm=float(norms.norm()),
        dtype=loss.dtype,
    )


def _diagnose_layer(
    name: str,
    layer: RNNBase,
    run: Run,
    calls: Sequence[Run],
    loss: Tensor,
    found: _Found,
    thresholds: Thresholds,
) -> list[LayerDiagnosis]:
    """Diagnose every row of one layer from its float64 run."""
    gradients = gradients_of(loss, layer, calls)
    ends = last_steps_read(gradients.output_norms, gradients.cell_output_norms, num_directions(layer))
    curve = _curve(layer, run, loss, ends, gradients.lengths, thresholds)
    num_steps = int(gradients.lengths.max())
    results = []
    for index in range(len(run.directions)):
        flow = flow_of(curve, index, num_steps, thresholds)
        is_reverse = index % num_directions(layer) == 1
        processed = gradients.lengths - 1 - ends[index] if is_reverse else ends[index]
        finding = Finding(
            name=name,
            layer=layer,
            index=index,
            flow=flow,
            signs=signs_of(layer, run, index),
            reached_lag=int(processed.where(ends[index] >= 0, -1).max()),
            clip_norm=found.gradient_norm / _mean_growth(curve.log_norm[index]),
            thresholds=thresholds,
        )
        non_finite = found.rows[name][index]
        verdict = flow.verdict(thresholds) if non_finite is None else Verdict.NON_FINITE
        results.append(
            LayerDiagnosis(
                name=name,
                cell=equations_of(layer).name,
                layer=index // num_directions(layer),
                direction="reverse" if is_reverse else "forward",
                verdict=verdict,
                flow=flow,
                non_finite=non_finite,
                evidence=_evidence(finding, num_sequences=len(gradients.lengths)),
                advice=advice_for(finding, verdict, non_finite),
            )
        )
    return results


def _curve(
    layer: RNNBase, run: Run, loss: Tensor, ends: Tensor, lengths: Tensor, thresholds: Thresholds
) -> GradientByLag:
    """Return `gradient_by_lag` from the steps `ends` (L*D, N)."""
    lags = torch.arange(len(run.call.inputs))
    rows = []
    for index, row in enumerate(run.directions):
        norms = norms_by_step(row, weights_of(layer, index).projection, loss, ends[index])
        is_reverse = index % num_directions(layer) == 1
        rows.append(norms_at_lags(norms, ends[index], lengths, lags, is_reverse=is_reverse))
    norms, is_inside = (torch.stack(parts) for parts in zip(*rows, strict=True))
    return summarise(lags, norms, is_inside, thresholds.horizon_factor)


def _mean_growth(log_norm: Tensor) -> float:
    """Return the mean over lags of the norm relative to lag 0; NaN where no gradient arrives."""
    relative = (log_norm - log_norm[0]).exp()
    return float(relative[log_norm.isfinite()].mean())


def _evidence(finding: Finding, num_sequences: int) -> tuple[Evidence, ...]:
    flow, signs, thresholds = finding.flow, finding.signs, finding.thresholds
    source = f"gradient_by_lag, float64, {num_sequences} sequences"
    measured = [
        Evidence(
            "horizon, steps",
            flow.horizon,
            f"needed {flow.needed_lag:g}, longest lag {flow.longest_lag}, at 1/{thresholds.horizon_factor:g}",
            source,
        ),
        Evidence("slope, log factor per step", flow.slope, "explodes above 0 if the growth does too", source),
        Evidence(
            f"growth over {flow.longest_lag} steps", flow.growth, f"explodes above {thresholds.growth_limit:g}", source
        ),
    ]
    return tuple(measured) + _signs_evidence(signs)


def _signs_evidence(signs: Signs) -> tuple[Evidence, ...]:
    named = (
        ("mean slope of the activation", signs.activation_slope, "near 0: saturated or dead", "states of this batch"),
        ("largest singular value of W_hh", signs.recurrent_norm, "below 1 the gradient must vanish", "weights"),
        ("mean of the memory gate", signs.memory_gate, "1 keeps all, 0 nothing", "gates of this batch"),
    )
    return tuple(Evidence(*parts) for parts in named if not math.isnan(parts[1]))
