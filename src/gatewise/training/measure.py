"""What is measured on a trained network: the tensors of `gatewise.flow`, turned into the numbers of the record.

Shapes: N sequences, T steps, K lags, H hidden units, E starting steps.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gatewise import flow
from gatewise.flow.memory_capacity import MIN_STEPS
from gatewise.nn import Trace
from gatewise.records.measures import (
    BlockSpectrum,
    Capacity,
    FlowDiagnosis,
    GateUse,
    GradientCurve,
    GradientMap,
    LyapunovExponents,
    Remedy,
)
from gatewise.tasks import Batch, Task
from gatewise.training.model import SequenceModel

# Enough sequences for a mean of logs; more only cost time.
FLOW_SEQUENCES = 32
# Bounds of the dear measures: a backward pass is run from every starting step of the map, and a Lyapunov spectrum costs
# a QR of (S, k) a step and sequence.
MAP_STEPS, MAP_LAGS, FEW_SEQUENCES = 40, 60, 8
MOST_EXPONENTS = 128
LONGEST_CAPACITY_LAG = 100


def first(data: Batch, num_sequences: int) -> Batch:
    """Return the first sequences of a batch."""
    return Batch(data.inputs[:num_sequences], data.targets[:num_sequences])


def loss_on(task: Task, data: Batch) -> Callable[[Tensor], Tensor]:
    """Return the task's loss as a function of the model's outputs on `data`."""
    return lambda outputs: task.loss(outputs, data.targets)


def gradient_by_lag(
    model: SequenceModel, task: Task, data: Batch, step: int = -1, lags: Collection[int] | None = None
) -> flow.GradientByLag:
    """Return the gradient by lag of the task's loss, sent back from `step`."""
    chosen = None if lags is None else list(lags)
    measured = flow.gradient_by_lag(model, data.inputs, loss_on(task, data), step, chosen)
    if isinstance(measured, dict):
        raise TypeError("a SequenceModel holds one recurrent layer")
    return measured


def trace_in_float64(model: SequenceModel, data: Batch) -> Trace:
    """Return the trace of a float64 copy: in float32 a gate near 1 is exactly 1 and never forgets."""
    layer = copy.deepcopy(model.recurrent).double()
    with torch.no_grad():
        trace: Trace = layer.trace(data.inputs.double())
    return trace


def half_life(trace: Trace) -> NDArray[np.float64] | None:
    """Return the half-lives (L*D, H) of the memory gates in steps; None for the RNN."""
    return None if trace.equations.memory_gate is None else flow.memory_half_life(trace).numpy()


def diagnosis(model: SequenceModel, task: Task, data: Batch, needed_lag: float | None) -> FlowDiagnosis:
    """Return the verdict on the gradient, with the needed lag as its threshold where one is known."""
    found = flow.diagnose(model, data.inputs, loss_on(task, data), needed_lag)
    layer = found.worst
    return FlowDiagnosis(
        verdict=found.verdict.value,
        non_finite=None if found.non_finite is None else str(found.non_finite),
        slope=layer.flow.slope,
        growth=layer.flow.growth,
        horizon=None if math.isnan(layer.flow.horizon) else int(layer.flow.horizon),
        longest_lag=layer.flow.longest_lag,
        needed_lag=layer.flow.needed_lag,
        evidence=[str(evidence) for evidence in layer.evidence],
        advice=[Remedy(text=advice.text, code=advice.code) for advice in (*found.advice, *layer.advice)],
    )


def gradient_curve(model: SequenceModel, task: Task, data: Batch) -> GradientCurve:
    """Return the gradient by lag from the last step, with its slope."""
    measured = gradient_by_lag(model, task, data)
    horizon = float(measured.horizon[0])
    low, high = measured.slope_interval()[0].tolist()
    return GradientCurve(
        lags=measured.lags.tolist(),
        log_norm=measured.log_norm[0].tolist(),
        slope=float(measured.slope[0]),
        slope_interval=(low, high),
        horizon=None if math.isnan(horizon) else int(horizon),
        horizon_is_censored=bool(measured.horizon_is_censored[0]),
    )


def gradient_map(model: SequenceModel, task: Task, data: Batch) -> GradientMap:
    """Return the gradient by lag from up to 40 steps of the sequence; costs a forward and a backward pass for each."""
    few, num_steps = first(data, FEW_SEQUENCES), data.inputs.shape[1]
    steps, lags = _spread(num_steps, MAP_STEPS), _spread(num_steps, MAP_LAGS)
    columns = [gradient_by_lag(model, task, few, step, lags).log_norm[0] for step in steps]
    return GradientMap(steps=steps, lags=lags, log_norm=torch.stack(columns, dim=1).tolist())


def gate_use(trace: Trace) -> list[GateUse]:
    """Return mean and saturation of every gate, per unit."""
    return [
        GateUse(name=name, mean=gate.mean[0].tolist(), low=gate.low[0].tolist(), high=gate.high[0].tolist())
        for name, gate in flow.gate_statistics(trace).items()
    ]


def spectrum(model: SequenceModel) -> list[BlockSpectrum]:
    """Return eigenvalues and largest singular value of each block of W_hh."""
    measured = flow.recurrent_spectrum(model.recurrent)
    if measured.eigenvalues is None or measured.spectral_radius is None or measured.departure_from_normality is None:
        raise TypeError("a SequenceModel has no projection")
    return [
        BlockSpectrum(
            block=block,
            real=measured.eigenvalues[0, index].real.tolist(),
            imaginary=measured.eigenvalues[0, index].imag.tolist(),
            spectral_radius=float(measured.spectral_radius[0, index]),
            largest_singular_value=float(measured.singular_values[0, index, 0]),
            departure_from_normality=float(measured.departure_from_normality[0, index]),
        )
        for index, block in enumerate(measured.blocks)
    ]


def lyapunov(model: SequenceModel, data: Batch) -> LyapunovExponents:
    """Return the exponents along up to 8 sequences, at most 128 of them; costs a QR of (S, 128) a step and sequence."""
    state_size = model.config.hidden_size * (2 if model.config.cell == "LSTM" else 1)
    inputs = first(data, FEW_SEQUENCES).inputs
    measured = flow.lyapunov_spectrum(model.recurrent, inputs, num_exponents=min(state_size, MOST_EXPONENTS))
    return LyapunovExponents(
        state_size=state_size,
        exponents=measured.exponents[0].nan_to_num(nan=-math.inf, neginf=-math.inf).tolist(),
        kaplan_yorke_dimension=float(measured.kaplan_yorke_dimension[0]),
    )


def capacity(model: SequenceModel, separate: Batch) -> Capacity | None:
    """Return R^2 of the linear readout of earlier inputs, up to half of the sequence back and at most 100 steps.

    The sequences are `separate` (see `apart`); None where they have too few steps for a regression.
    """
    num_sequences, num_steps = separate.inputs.shape[:2]
    max_lag = min((num_steps - 1) // 2, LONGEST_CAPACITY_LAG)
    if num_sequences * (num_steps - max_lag) < MIN_STEPS:
        return None
    measured = flow.memory_capacity(model.recurrent, separate.inputs, max_lag)
    return Capacity(
        lags=measured.lags.tolist(),
        r_squared=measured.r_squared[0].tolist(),
        shuffled=float(measured.shuffled[0]),
        total=float(measured.total[0]),
    )


def _spread(num_steps: int, at_most: int) -> list[int]:
    """Return positions from 0 to the last, all or `at_most` of them evenly spread.

    >>> _spread(4, 10), _spread(101, 5)
    ([0, 1, 2, 3], [0, 25, 50, 75, 100])
    """
    return sorted({round(position) for position in np.linspace(0, num_steps - 1, min(num_steps, at_most))})
