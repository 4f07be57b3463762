"""Time the measures of gatewise.flow, after checking that they agree with a slower way to the same numbers.

    python benchmarks/flow.py --threads 2 --json flow.json

Step Jacobians race torch.func.jacrev, step by step, in one process and turn by turn. Lyapunov spectra and lag products
have no rival in torch: their seconds are given, and the most memory the process ever held. Times depend on the machine
and on what else it does: quote the ratios. The JSON has every sample.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

import gatewise as gw
from gatewise.cells import State
from gatewise.records.machine import machine_facts

CELLS = ("RNN", "LSTM", "GRU")
INPUT_SIZE, HIDDEN_SIZE = 64, 128
TOLERANCE = 1e-12  # scale-free, float64


@dataclass
class Measurement:
    """Seconds of every repetition of one way to compute something."""

    what: str
    how: str
    seconds: list[float]
    peak_bytes: int  # the most memory that the process has held so far

    @property
    def median(self) -> float:
        """The median, in seconds."""
        return statistics.median(self.seconds)


def build(cell: str, num_steps: int) -> tuple[torch.nn.RNNBase, Tensor]:
    """Return a float64 layer with H = 128 and its input (T, 1, I)."""
    torch.manual_seed(0)
    layer = getattr(gw.nn, cell)(INPUT_SIZE, HIDDEN_SIZE).double()
    return layer, torch.randn(num_steps, 1, INPUT_SIZE, dtype=torch.float64)


def by_jacrev(trace: gw.nn.Trace, inputs: Tensor) -> Tensor:
    """Return the step Jacobians (T, S, S) by differentiating the cell's step, one step after the other."""
    weights, size = trace.weights(0).map(Tensor.detach), trace.hidden.shape[-1]
    states = trace.hidden if trace.cell is None else torch.cat([trace.hidden, trace.cell], dim=-1)
    initial = trace.h_0 if trace.c_0 is None else torch.cat([trace.h_0, trace.c_0], dim=-1)
    previous = torch.cat([initial[0], states[0, :-1, 0]]).detach()

    def step(s: Tensor, x: Tensor) -> Tensor:
        before = State(s[:size], None if trace.cell is None else s[size:])
        state, _ = trace.equations.step(trace.equations.project_input(x, weights), before, weights)
        return state.hidden if state.cell is None else torch.cat([state.hidden, state.cell])

    jacobian = torch.func.jacrev(step)
    return torch.stack([jacobian(s, x) for s, x in zip(previous, inputs[:, 0], strict=True)])


def race(what: str, contestants: dict[str, Callable[[], Tensor]], rounds: int) -> list[Measurement]:
    """Check that all contestants agree, then let them take turns."""
    expected = next(iter(contestants.values()))()
    for how, contestant in contestants.items():
        error = ((contestant().reshape(expected.shape) - expected).abs().max() / expected.abs().max()).item()
        if not error <= TOLERANCE:
            raise RuntimeError(f"{what}, {how}: differs by {error:.2g}; nothing was timed")
    samples: dict[str, list[float]] = {how: [] for how in contestants}
    for _ in range(rounds):
        for how, contestant in contestants.items():
            samples[how].append(_seconds(contestant))
    return [Measurement(what, how, seconds, peak_bytes()) for how, seconds in samples.items()]


def step_jacobians(cell: str, num_steps: int, rounds: int) -> list[Measurement]:
    """Race closed forms against automatic differentiation."""
    layer, inputs = build(cell, num_steps)
    trace = layer.trace(inputs).detach()
    out = gw.flow.step_jacobians(trace)
    contestants = {
        "torch.func.jacrev": lambda: by_jacrev(trace, inputs),
        "step_jacobians": lambda: gw.flow.step_jacobians(trace),
        "step_jacobians, out=": lambda: gw.flow.step_jacobians(trace, out=out),
    }
    return race(f"step Jacobians, {cell}, T={num_steps}", contestants, rounds)


def lyapunov(cell: str, num_steps: int, num_exponents: int | None, rounds: int) -> Measurement:
    """Time a spectrum, after checking that the sum of all exponents is that of the Jacobians' log singular values."""
    layer, inputs = build(cell, num_steps)
    actual = gw.flow.lyapunov_spectrum(layer, inputs[:50], warm_up=0).exponents.sum()
    # Not slogdet, which is wrong on a batch with several threads: pytorch#141358, still so in torch 2.13.
    sigma = torch.linalg.svdvals(gw.flow.step_jacobians(layer.trace(inputs[:50])))
    expected = sigma.log().sum(dim=-1).mean()
    if not (actual - expected).abs() <= 1e-8 * expected.abs():
        raise RuntimeError(f"{cell}: the exponents add up to {actual}, the singular values say {expected}")
    seconds = [
        _seconds(lambda: gw.flow.lyapunov_spectrum(layer, inputs, num_exponents=num_exponents)) for _ in range(rounds)
    ]
    which = "all" if num_exponents is None else str(num_exponents)
    return Measurement(f"Lyapunov exponents, {cell}, T={num_steps}", which, seconds, peak_bytes())


def lag_product(cell: str, num_steps: int, rounds: int) -> Measurement:
    """Time the singular values of products over 1, 10, 100 ... steps."""
    layer, inputs = build(cell, num_steps)
    trace = layer.trace(inputs).detach()
    lags = [lag for lag in (1, 10, 100, 1000) if lag <= num_steps]
    seconds = [_seconds(lambda: gw.flow.lag_product(trace, lags)) for _ in range(rounds)]
    return Measurement(f"lag product, {cell}, T={num_steps}", f"lags {lags}", seconds, peak_bytes())


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def peak_bytes() -> int:
    """Return the most memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def table(measurements: list[Measurement]) -> str:
    """Return a markdown table; ratios are to the first way of the same thing."""
    first = {m.what: m for m in reversed(measurements)}
    lines = ["| what | how | median s | spread s | times as fast | peak MB |", "|---|---|---|---|---|---|"]
    for m in measurements:
        ratio = f"{first[m.what].median / m.median:.1f}" if m.what.startswith("step") else ""
        spread = f"{min(m.seconds):.3g} to {max(m.seconds):.3g}"
        lines.append(f"| {m.what} | {m.how} | {m.median:.3g} | {spread} | {ratio} | {m.peak_bytes / 1e6:.0f} |")
    return "\n".join(lines)


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="torch.set_num_threads")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=("jacobians", "lyapunov", "lag-product"))
    parser.add_argument("--json", type=Path, help="where all samples and the machine's facts go")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    only = arguments.only or ("jacobians", "lyapunov", "lag-product")
    measurements = []
    if "jacobians" in only:
        measurements += [m for cell in CELLS for m in step_jacobians(cell, 500, arguments.rounds)]
    if "lyapunov" in only:
        measurements += [lyapunov(cell, 1000, k, 2) for cell in CELLS for k in (16, None)]
        measurements.append(lyapunov("LSTM", 10_000, 16, 1))  # ten times the steps, and no more memory
    if "lag-product" in only:
        measurements += [lag_product("LSTM", num_steps, 1) for num_steps in (100, 1000)]
    print(table(measurements))
    if arguments.json:
        facts = machine_facts(jobs=1, threads_per_run=arguments.threads).model_dump()
        samples = [asdict(m) | {"median": m.median} for m in measurements]
        arguments.json.write_text(json.dumps({"schema": 1, "machine": facts, "measurements": samples}))


if __name__ == "__main__":
    main()
