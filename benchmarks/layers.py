"""Time gatewise's layers against torch.nn's, in one process, turn by turn, after checking that they agree.

    python benchmarks/layers.py --threads 2 --seconds 2 --json layers.json

Inference runs without gradients; a training step is forward plus backward of the sum of all outputs, the gradient of
the input included. Times depend on the machine and on what else it does: quote the ratios. The JSON has every sample.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import RNNBase

import gatewise as gw
from gatewise.records.machine import machine_facts

CELLS = ("RNN", "LSTM", "GRU")
GRID = (  # N sequences, T steps, I inputs, H hidden units
    (1, 100, 64, 64),
    (8, 200, 32, 64),
    (5, 77, 10, 50),
    (20, 60, 13, 100),
    (32, 64, 64, 128),
    (32, 100, 128, 256),
    (64, 50, 512, 512),
)
TOLERANCE = 1e-4  # scale-free, float32; tests/tolerances.py is stricter on smaller problems


@dataclass
class Measurement:
    """Seconds of every repetition, torch.nn's and ours in the order in which they took turns."""

    cell: str
    size: tuple[int, int, int, int]
    job: str  # "inference" or "training"
    torch_s: list[float]
    gatewise_s: list[float]

    @property
    def ratio(self) -> float:
        """How many times faster the median is."""
        return statistics.median(self.torch_s) / statistics.median(self.gatewise_s)

    @property
    def is_different(self) -> bool:
        """Whether the middle halves of the two samples do not overlap."""
        theirs, ours = (statistics.quantiles(sample, n=4) for sample in (self.torch_s, self.gatewise_s))
        return theirs[0] > ours[2] or ours[0] > theirs[2]


def infer(layer: RNNBase, x: Tensor) -> dict[str, Tensor]:
    """Return the output (T, N, H) of x (T, N, I)."""
    with torch.no_grad():
        return {"output": layer(x)[0]}


def train(layer: RNNBase, x: Tensor) -> dict[str, Tensor]:
    """Return all gradients of the sum of the outputs."""
    for tensor in (x, *layer.parameters()):
        tensor.grad = None
    layer(x)[0].sum().backward()
    return {"input": x.grad} | {name: parameter.grad for name, parameter in layer.named_parameters()}


def assert_agreement(actual: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Raise RuntimeError if a result is further from torch's than TOLERANCE, relative to its largest entry."""
    for name, value in expected.items():
        error = ((actual[name] - value).abs().max() / value.abs().max()).item()
        if not error <= TOLERANCE:
            raise RuntimeError(f"{name} differs from torch.nn's by {error:.2g}; nothing was timed")


def measure(cell: str, size: tuple[int, int, int, int], seconds: float) -> list[Measurement]:
    """Check, then time one cell at one size."""
    num_sequences, num_steps, input_size, hidden_size = size
    theirs = getattr(torch.nn, cell)(input_size, hidden_size)
    ours = getattr(gw.nn, cell)(input_size, hidden_size)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(num_steps, num_sequences, input_size)
    measurements = []
    for job, run, inputs in (("inference", infer, x), ("training", train, x.clone().requires_grad_())):
        expected = {name: value.clone() for name, value in run(theirs, inputs).items()}
        assert_agreement(run(ours, inputs), expected)
        if ours.path != "native":
            raise RuntimeError(f"the {cell} took the path {ours.path!r}, not the native one")
        samples = take_turns([lambda: run(theirs, inputs), lambda: run(ours, inputs)], seconds)  # noqa: B023
        measurements.append(Measurement(cell, size, job, *samples))
    return measurements


def take_turns(contestants: Sequence[Callable[[], object]], seconds: float) -> list[list[float]]:
    """Return the seconds of every run of each contestant, at least five."""
    samples: list[list[float]] = [[] for _ in contestants]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(samples[0]) < 5:
        for contestant, sample in zip(contestants, samples, strict=True):
            start = time.perf_counter()
            contestant()
            sample.append(time.perf_counter() - start)
    return samples


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean of positive numbers."""
    return math.exp(statistics.fmean(map(math.log, values)))


def table(measurements: Sequence[Measurement]) -> str:
    """Return a markdown table of torch.nn's median time over ours; "=" where the samples overlap."""
    sizes = list(dict.fromkeys(measurement.size for measurement in measurements))
    lines = ["| cell, job | " + " | ".join(str(size) for size in sizes) + " | geometric mean |"]
    lines.append("|" + "---|" * (len(sizes) + 2))
    for cell in dict.fromkeys(measurement.cell for measurement in measurements):
        for job in ("inference", "training"):
            row = [m for m in measurements if (m.cell, m.job) == (cell, job)]
            cells = [f"{m.ratio:.2f}" + ("" if m.is_different else " =") for m in row]
            lines.append(
                f"| {cell}, {job} | " + " | ".join(cells) + f" | {geometric_mean([m.ratio for m in row]):.2f} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Run the grid."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="torch.set_num_threads")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each cell, size and job")
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=CELLS)
    parser.add_argument("--json", type=Path, help="where all samples and the machine's facts go")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    measurements = [m for cell in arguments.cells for size in GRID for m in measure(cell, size, arguments.seconds)]
    print("torch.nn's median time over gatewise's, (N, T, I, H); '=': no difference beyond the noise\n")
    print(table(measurements))
    if arguments.json:
        facts = machine_facts(jobs=1, threads_per_run=arguments.threads).model_dump()
        samples = [asdict(measurement) | {"ratio": measurement.ratio} for measurement in measurements]
        arguments.json.write_text(json.dumps({"schema": 1, "machine": facts, "measurements": samples}))


if __name__ == "__main__":
    main()
