"""What `gatewise flow` measures: the diagnosis of every network, and all else of one network a cell."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime

import gatewise
from gatewise.compare.trained import Network, TrainedNetworks
from gatewise.errors import UsageError, nearest
from gatewise.records import MEASURES, FlowMeasures, NetworkFlow
from gatewise.tasks import Batch, Task
from gatewise.training import measure
from gatewise.training.apart import apart
from gatewise.training.threads import one_thread


def check_measures(names: Collection[str]) -> tuple[str, ...]:
    """Return the names, each once, or say which there are."""
    for name in names:
        if name not in MEASURES:
            raise UsageError(f"unknown measure {name!r}{nearest(name, MEASURES)}; known: {', '.join(MEASURES)}, none")
    return tuple(name for name in MEASURES if name in names)


def measure_networks(
    found: TrainedNetworks,
    measures: Collection[str] = MEASURES,
    max_sequences: int = measure.FLOW_SEQUENCES,
    command: str = "",
    on_network: Callable[[NetworkFlow], None] = lambda network: None,
) -> FlowMeasures:
    """Measure trained networks on the validation sequences of their task.

    Parameters
    ----------
    found : TrainedNetworks
        Not modified.
    measures : collection of str
        Of "gates", "spectrum", "map", "lyapunov", "capacity": made of one network a cell, the one in the middle by
        validation score. The diagnosis is made of every network.
    max_sequences : int, default 32
        Validation sequences looked at, the first ones; "map" and "lyapunov" take at most 8 of them, "capacity" the
        first that do not overlap.
    command : str
        What the user typed, for the record.
    on_network : callable
        Told of each network measured.

    Returns
    -------
    FlowMeasures

    Notes
    -----
    For networks of some 5 000 parameters and sequences of 50 steps the diagnosis costs about 0.2 s and all measures
    together 2 s a network; "map" runs up to 40 backward passes, "lyapunov" a QR of (S, min(S, 128)) a step and
    sequence, both in proportion to the steps and more.
    """
    validation = found.task.validation()
    data, separate = measure.first(validation, max_sequences), apart(validation, max_sequences)
    networks = []
    for network in found.networks:
        with one_thread():
            networks.append(_measure(network, found.task, data, separate, found.needed_lag, measures))
        on_network(networks[-1])
    return FlowMeasures(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        gatewise_version=gatewise.__version__,
        task=found.task.name,
        description=found.task.description,
        metric=found.task.metric.name,
        sequence_length=data.inputs.shape[1],
        sequences=len(data),
        needed_lag=found.needed_lag,
        needed_lag_is_estimated=found.task.needed_lag is None,
        networks=networks,
    )


def _measure(
    network: Network, task: Task, data: Batch, separate: Batch, needed_lag: int | None, measures: Collection[str]
) -> NetworkFlow:
    model = network.model
    diagnosis = measure.diagnosis(model, task, data, needed_lag)
    result = NetworkFlow(
        cell=model.config.cell,
        seed=network.seed,
        path=str(network.path),
        hidden_size=model.config.hidden_size,
        score=network.score,
        solved=network.solved,
        diagnosis=diagnosis,
    )
    # Where a value is not finite the diagnosis says which; there is nothing else to measure.
    if not network.is_typical or diagnosis.verdict == "NON_FINITE":
        return result
    trace = measure.trace_in_float64(model, data)
    half_life = measure.half_life(trace)
    found = {
        "gradient": measure.gradient_curve(model, task, data),
        "half_life": None if half_life is None else half_life[0].tolist(),
        "gates": measure.gate_use(trace) if "gates" in measures else None,
        "spectrum": measure.spectrum(model) if "spectrum" in measures else None,
        "map": measure.gradient_map(model, task, data) if "map" in measures else None,
        "lyapunov": measure.lyapunov(model, data) if "lyapunov" in measures else None,
        "capacity": measure.capacity(model, separate) if "capacity" in measures else None,
    }
    return result.model_copy(update=found)
