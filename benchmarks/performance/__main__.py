"""Measure the tables of docs/performance.md and write them there: `python benchmarks/performance`.

Every part, a table of one cell, runs in a process of its own and leaves its samples in one file; the page is written
from all files that are there. Run it with nothing else on the machine; where others work on it too, --under takes a
command that waits for a quiet moment: --under "flock -x build/lock".
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parent)  # this folder is the package `performance`

from gatewise._native import num_threads  # noqa: E402
from gatewise.bench import GRID, BenchRecord, Pace, gemm_flops_per_s, parse_size  # noqa: E402
from gatewise.errors import GatewiseError  # noqa: E402
from gatewise.records import usable_cores  # noqa: E402
from performance import document, double, imports, layers, memory, neighbours, ragged, recording, streaming, subnormals  # noqa: E402
from performance.peers import PEERS  # noqa: E402
from performance.table import Part  # noqa: E402

MODULES = (layers, ragged, double, streaming, memory, subnormals, recording, neighbours, imports)
TABLES = {module.TABLE.name: module.TABLE for module in MODULES}
PAGE = HERE.parent.parent / "docs" / "performance.md"


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"{', '.join(TABLES)} (default: all)")
    parser.add_argument("--cells", nargs="+", default=["RNN", "LSTM", "GRU"], metavar="CELL")
    parser.add_argument("--sizes", nargs="+", default=GRID, type=parse_size, metavar="NxTxIxH")
    parser.add_argument(
        "--threads", type=int, default=usable_cores(), help="for every contestant (default: one a core)"
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="for each point (default: 1)")
    parser.add_argument("--rounds", type=int, default=7, help="for each point, at least (default: 7)")
    parser.add_argument(
        "--peers", nargs="*", default=PEERS, choices=PEERS, help="in the table `layers`, where installed"
    )
    parser.add_argument("--results", type=Path, default=Path("build/performance"), help="folder of the samples")
    parser.add_argument("--under", default="", metavar="COMMAND", help="run each part under this command")
    parser.add_argument("--measure-only", action="store_true", help="leave the page as it is")
    parser.add_argument("--page", type=Path, default=PAGE, help="where the tables are written (default: %(default)s)")
    parser.add_argument("--part", action="store_true", help=argparse.SUPPRESS)  # measure here, one table of one cell
    arguments = parser.parse_args()
    if unknown := set(arguments.tables) - set(TABLES):
        parser.error(f"unknown table {', '.join(sorted(unknown))}; known: {', '.join(TABLES)}")
    return arguments


def measure_part(arguments: argparse.Namespace) -> None:
    """Measure one table of one cell in this process."""
    (name,), (cell,) = arguments.tables, arguments.cells
    pace = Pace(arguments.seconds, min_rounds=arguments.rounds)
    points, rates = [], []
    with num_threads(arguments.threads) as threads:
        part = Part(cell, tuple(arguments.sizes), pace, threads, tuple(arguments.peers))
        for point in TABLES[name].measure(part):
            rates.append(gemm_flops_per_s())
            points.append(point)
            print(f"{name}: {point.label} {point.job}", file=sys.stderr)
        record = BenchRecord.of_now(name, points, rates, threads, part.versions, part.absent)
    arguments.results.mkdir(parents=True, exist_ok=True)
    record.write(arguments.results / f"{name}{'-' if cell else ''}{cell}.json")


def measure_all(arguments: argparse.Namespace) -> int:
    """Measure each part in a process of its own; return how many failed."""
    shared = ["--sizes", *map(str, arguments.sizes), "--peers", *arguments.peers, "--results", str(arguments.results)]
    shared += [f"--{name}={getattr(arguments, name)}" for name in ("threads", "seconds", "rounds")]
    num_failed = 0
    for name in arguments.tables or TABLES:
        for cell in TABLES[name].cells:
            if cell in (*arguments.cells, ""):
                command = [sys.executable, str(HERE), name, "--part", "--cells", cell, *shared]
                num_failed += subprocess.run([*shlex.split(arguments.under), *command], check=False).returncode != 0
    return num_failed


def main() -> int:
    arguments = read_arguments()
    if arguments.part:
        try:
            measure_part(arguments)
        except GatewiseError as error:
            print(f"{arguments.tables[0]} {arguments.cells[0]}: {error}", file=sys.stderr)
            return 1
        return 0
    num_failed = measure_all(arguments)
    if not arguments.measure_only:
        records = [BenchRecord.read(path) for path in sorted(arguments.results.glob("*.json"))]
        document.write(arguments.page, [TABLES[name] for name in TABLES], records)
    return min(num_failed, 1)


if __name__ == "__main__":
    sys.exit(main())
