"""Where numbers were measured."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

from gatewise.records.schema import Machine

_PACKAGES = ("torch", "numpy", "safetensors", "polars", "scipy")


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine_facts(jobs: int, threads_per_run: int) -> Machine:
    """Return the facts that a reader needs to judge a time."""
    from gatewise import _native  # brings torch, which drawing a report must not wait for

    return Machine(
        platform=platform.platform(terse=True),
        processor=_processor(),
        cores=usable_cores(),
        jobs=jobs,
        threads_per_run=threads_per_run,
        cpu_level=_native.cpu_level(),
        python=platform.python_version(),
        packages={name: version for name in _PACKAGES if (version := _version(name))},
    )


def _processor() -> str:
    """Return the CPU's name; platform.processor() is empty on most Linux systems."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
