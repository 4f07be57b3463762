"""What `import gatewise.nn` takes beyond `import torch`, each time in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from gatewise.bench import Claim, Point
from performance.table import Part, Table

TARGET_S = 0.15
ROUNDS = 9
SCRIPT = """
import json, time
start = time.perf_counter()
import torch
torch_s = time.perf_counter() - start
import gatewise.nn
print(json.dumps([torch_s, time.perf_counter() - start]))
"""


def measure(part: Part) -> Iterator[Point]:
    rounds = []
    for _ in range(ROUNDS + 1):
        done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
        rounds.append(json.loads(done.stdout))
    alone, both = zip(*rounds[1:], strict=True)  # the first one fetches the files from the disk
    yield Point(
        cell="",
        job="import",
        samples={"torch": list(alone), "torch, gatewise.nn": list(both)},
        claims=(
            Claim(of="torch, gatewise.nn", over="torch", statistic="difference", bound="at most", target=TARGET_S),
        ),
    )


TABLE = Table(
    "imports",
    "Import time",
    "`import torch`, then `import gatewise.nn`, in fresh processes. The target is at most .15 s on top.",
    measure,
    cells=("",),
)
