"""The peak memory of a training step, as the kernel of the operating system sees it.

torch does not count what its CPU allocator gives out, and a profiler sees only what goes through that allocator: not
oneDNN's workspace. So each layer runs in a process of its own that reads Linux's high-water mark of resident memory
(VmHWM, which writing 5 to /proc/self/clear_refs sets back) over one step, less what was resident before. For that to
be exact, the C library must hand every freed block back: blocks from 16 KiB on are mapped one by one, and the heap is
trimmed before each step. Each step runs in a thread of its own, since gatewise keeps working memory from call to call,
a thread's own, which would be there before. Repetitions agree within half a MiB.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

from gatewise.bench import Claim, Point
from performance.table import Part, Table

ALLOWED_BYTES = 2**20
ROUNDS = 3
RETURN_ALL = {
    "OMP_WAIT_POLICY": "passive",  # changes no memory; torch's barrier takes a minute otherwise if the machine is busy
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "16384",
    "MALLOC_TRIM_THRESHOLD_": "0",
    "MKL_DISABLE_FAST_MM": "1",  # MKL keeps its packing buffers otherwise
}
SCRIPT = """
import ctypes, importlib, json, sys, threading
from pathlib import Path
import torch
module, cell, sizes, threads = sys.argv[1], sys.argv[2], map(int, sys.argv[3].split("x")), int(sys.argv[4])
torch.set_num_threads(threads)
num_sequences, num_steps, input_size, hidden_size = sizes
layer = getattr(importlib.import_module(module), cell)(input_size, hidden_size)
x = torch.randn(num_steps, num_sequences, input_size, requires_grad=True)

def status(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(key))

def step():
    layer(x)[0].sum().backward()

peaks = []
for _ in range(4):
    for tensor in (x, *layer.parameters()):
        tensor.grad = None
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    thread = threading.Thread(target=step)
    thread.start()
    thread.join()
    peaks.append(status("VmHWM") - before)
print(json.dumps(sorted(peaks[1:])[1]))
"""


def peak_bytes(module: str, part: Part, size: object) -> float:
    """Return the median of three steps' peaks, after one that loads what is loaded once."""
    arguments = [sys.executable, "-c", SCRIPT, module, part.cell, str(size), str(part.threads)]
    done = subprocess.run(arguments, env=os.environ | RETURN_ALL, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout))


def measure(part: Part) -> Iterator[Point]:
    contestants = {"torch.nn": "torch.nn", "gatewise": "gatewise.nn"}
    for size in part.sizes:
        samples: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(ROUNDS):
            for name, module in contestants.items():
                samples[name].append(peak_bytes(module, part, size))
        yield Point(
            cell=part.cell,
            size=size,
            job="training",
            unit="bytes",
            samples=samples,
            claims=(
                Claim(of="gatewise", over="torch.nn", statistic="difference", bound="at most", target=ALLOWED_BYTES),
            ),
        )


TABLE = Table(
    "memory",
    "Peak memory of a training step",
    "Resident memory at its highest over one step, less what was resident before, each layer in processes of its own; "
    "weights and input are not in it, gradients are. The target is at most torch.nn's; 1 MiB is allowed.",
    measure,
)
