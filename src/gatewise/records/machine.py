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
    named = processor_named_in(info.read_text()) if info.is_file() else None
    return named or platform.processor() or platform.machine()


def processor_named_in(cpuinfo: str) -> str | None:
    r"""Return the CPU that the text of /proc/cpuinfo names, None if it names none.

    With its family and model, since what a virtual machine calls "AMD EPYC" may be of any generation.

    >>> processor_named_in("cpu family : 25\nmodel : 17\nmodel name : AMD EPYC\n")
    'AMD EPYC (family 25, model 17)'
    """
    first = cpuinfo.split("\n\n")[0]
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
    name, family, model = facts.get("model name"), facts.get("cpu family"), facts.get("model")
    return f"{name} (family {family}, model {model})" if name and family and model else name


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
