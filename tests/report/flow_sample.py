"""What `gatewise flow` could have measured: an RNN that forgets, an LSTM that does not, a seed that is not drawn."""

from __future__ import annotations

import math
from typing import Any

from gatewise.records.measures import (
    BlockSpectrum,
    Capacity,
    FlowDiagnosis,
    FlowMeasures,
    GateUse,
    GradientCurve,
    GradientMap,
    LyapunovExponents,
    NetworkFlow,
    Remedy,
)

T = 4
RATE = {"RNN": -3.0, "LSTM": -0.1}  # of the log norm, per step back
H = 2


def diagnosis(cell: str, **changed: Any) -> FlowDiagnosis:
    is_healthy = cell == "LSTM"
    found = FlowDiagnosis(
        verdict="HEALTHY" if is_healthy else "VANISHING",
        non_finite=None,
        slope=RATE[cell],
        growth=math.exp((T - 1) * RATE[cell]),
        horizon=T - 1 if is_healthy else 1,
        longest_lag=T - 1,
        needed_lag=3.0,
        evidence=["horizon, steps: 1"],
        advice=[] if is_healthy else [Remedy(text="start anew", code="gw.nn.init.orthogonal_(model)")],
    )
    return found.model_copy(update=changed)


def network(cell: str, seed: int | None = 0, **changed: Any) -> NetworkFlow:
    is_lstm = cell == "LSTM"
    log_norm = [[RATE[cell] * lag if lag <= step else math.nan for step in range(T)] for lag in range(T)]
    gates = [GateUse(name="forget_gate", mean=[0.2, 0.9], low=[0.75, 0.0], high=[0.25, 0.5])]
    gates.append(GateUse(name="cell_gate", mean=[0.0, 0.0], low=[0.5, 0.5], high=[0.0, 0.0]))
    measured = NetworkFlow(
        cell=cell,
        seed=seed,
        path=f"runs/adding-T4/{cell}-seed{seed}-lr0.01",
        hidden_size=H,
        score=0.001 if is_lstm else 0.16,
        solved=is_lstm,
        diagnosis=diagnosis(cell),
        gradient=GradientCurve(
            lags=list(range(T)),
            log_norm=[2 + RATE[cell] * lag for lag in range(T)],
            slope=RATE[cell],
            slope_interval=(RATE[cell] - 0.01, RATE[cell] + 0.01),
            horizon=1,
            horizon_is_censored=False,
        ),
        half_life=[3.0, math.inf] if is_lstm else None,
        gates=gates if is_lstm else [],
        spectrum=[
            BlockSpectrum(
                block="recurrent",
                real=[0.5, 0.5],
                imaginary=[1.2, -1.2],
                spectral_radius=1.3,
                largest_singular_value=1.7,
                departure_from_normality=0.4,
            )
        ],
        map=GradientMap(steps=list(range(T)), lags=list(range(T)), log_norm=log_norm),
        lyapunov=LyapunovExponents(
            state_size=2 * H if is_lstm else H,
            exponents=[-0.5, -0.1, -math.inf, -2.0] if is_lstm else [-1.0, -2.0],
            kaplan_yorke_dimension=0.0,
        ),
        capacity=Capacity(lags=[0, 1], r_squared=[0.9, 0.3], shuffled=0.05, total=1.2),
    )
    return measured.model_copy(update=changed)


def measures(**changed: Any) -> FlowMeasures:
    second_rnn = NetworkFlow(
        cell="RNN", seed=1, path="", hidden_size=H, score=0.17, solved=False, diagnosis=diagnosis("RNN")
    )
    measured = FlowMeasures(
        created="2026-03-14T09:26:53Z",
        command="gatewise flow runs/adding-T4",
        gatewise_version="0.1.0",
        task="adding-T4",
        description="Add the two marked numbers.",
        metric="mse",
        sequence_length=T,
        sequences=8,
        needed_lag=3,
        needed_lag_is_estimated=False,
        networks=[network("RNN"), second_rnn, network("LSTM")],
    )
    return measured.model_copy(update=changed)
