"""Time training steps with and without gatewise.flow.Monitor, after checking that both train the same weights.

    python benchmarks/monitor.py --threads 1 --json monitor.json

A model with one layer (batch first, last state, Adam, clipping) takes training steps of about 1, 3 and 10 ms on a
common server core. Two copies of it, one of them watched, take turns step by step. What a step between two recorded
ones costs more, and what a recorded one does, are differences of medians; their share of a period of `every` steps is
what the monitor costs. The JSON has every sample.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.nn import functional as F

import gatewise as gw
from gatewise.bench.problem import Size
from gatewise.records.machine import machine_facts
from gatewise.training import ModelConfig, SequenceModel

SIZES = {  # on one core of a common server: about 1, 3 and 10 ms
    "RNN": (Size(32, 100, 4, 48), Size(32, 100, 8, 112), Size(32, 260, 8, 128)),
    "GRU": (Size(32, 70, 4, 32), Size(32, 100, 8, 56), Size(32, 180, 8, 80)),
    "LSTM": (Size(32, 60, 4, 32), Size(32, 100, 8, 64), Size(32, 300, 8, 64)),
}


@dataclass
class Measurement:
    """Seconds of training steps: plain, between recorded ones, and recorded."""

    cell: str
    size: str
    every: int
    plain: list[float]
    between: list[float]
    recorded: list[float]

    def row(self) -> str:
        """Return the line of the table."""
        plain = statistics.median(self.plain)
        between, recorded = statistics.median(self.between) - plain, statistics.median(self.recorded) - plain
        share = ((self.every - 1) * between + recorded) / (self.every * plain)
        return (
            f"| {self.cell} | {self.size} | {1e3 * plain:.2f} | {1e6 * between:+.0f} | {1e3 * recorded:+.2f} "
            f"| {100 * share:.1f} % |"
        )


class Training:
    """A model in training."""

    def __init__(self, cell: str, size: Size) -> None:
        torch.manual_seed(0)
        self.model = SequenceModel(ModelConfig(cell, size.input_size, size.hidden_size, 1, "last"))
        self.optimizer = torch.optim.Adam(self.model.parameters())
        self.inputs = torch.randn(size.num_sequences, size.num_steps, size.input_size)
        self.targets = torch.randn(size.num_sequences, 1)

    def step(self) -> float:
        """Take a training step; return its seconds."""
        start = time.perf_counter()
        loss = F.mse_loss(self.model(self.inputs), self.targets)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return time.perf_counter() - start


def measure(cell: str, size: Size, every: int, periods: int) -> Measurement:
    """Let a plain and a watched training take turns, in an order drawn anew each time."""
    plain, watched = Training(cell, size), Training(cell, size)
    found = Measurement(cell, str(size), every, [], [], [])
    order = random.Random(0)
    with gw.flow.Monitor(watched.model, every=every) as monitor:
        for step in range((periods + 1) * every):
            samples = found.recorded if step % every == 0 else found.between
            turns = [(plain, found.plain), (watched, samples)]
            order.shuffle(turns)
            for training, seconds in turns:
                taken = training.step()
                if step >= every:  # the first period warms up
                    seconds.append(taken)
    for name, value in plain.model.state_dict().items():
        if not torch.equal(watched.model.state_dict()[name], value):
            raise RuntimeError(f"{cell}: {name} differs with the monitor; the times say nothing")
    if len(monitor.records) != periods + 1:
        raise RuntimeError(f"{cell}: {len(monitor.records)} steps recorded in {periods + 1} periods")
    return found


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="torch.set_num_threads")
    parser.add_argument("--every", type=int, default=50)
    parser.add_argument("--periods", type=int, default=20)
    parser.add_argument("--cells", nargs="+", choices=tuple(SIZES), default=tuple(SIZES))
    parser.add_argument("--json", type=Path, help="where all samples and the machine's facts go")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    logging.getLogger("gatewise").addHandler(logging.NullHandler())  # verdicts are not the point here
    print("| cell | N x T x I x H | step, ms | between, us | recorded, ms | share |")
    print("|---|---|---|---|---|---|")
    measurements = []
    for cell in arguments.cells:
        for size in SIZES[cell]:
            measurements.append(measure(cell, size, arguments.every, arguments.periods))
            print(measurements[-1].row(), flush=True)
    if arguments.json:
        facts = machine_facts(jobs=1, threads_per_run=arguments.threads).model_dump()
        samples = [asdict(measurement) for measurement in measurements]
        arguments.json.write_text(json.dumps({"schema": 1, "machine": facts, "measurements": samples}))


if __name__ == "__main__":
    main()
