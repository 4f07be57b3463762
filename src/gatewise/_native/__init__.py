"""The native core as Python sees it: the only importer of the compiled module ``gatewise._core``."""

# Before _core, and not only for its names: torch brings its own OpenMP runtime, and a library loaded after it under the
# same name shares that runtime and its threads. Loaded the other way round, two pools could fight for the same cores.
import torch  # noqa: F401

import gatewise._core as _core
from gatewise._core import tensor_of
from gatewise._native.activations import Activation, exp, max_ulp, sigmoid, tanh
from gatewise._native.layer import DirectionKernel, Initial, StepShape, WeightGradients, direction_kernel
from gatewise._native.stream import make_stream
from gatewise._native.tensors import are_plain, are_plain_of_shapes, have_shapes
from gatewise._native.threads import is_forked_child, num_threads, serial_in_forked_child

__all__ = [
    "Activation",
    "DirectionKernel",
    "Initial",
    "StepShape",
    "WeightGradients",
    "are_plain",
    "are_plain_of_shapes",
    "compiled_levels",
    "cpu_level",
    "cpu_levels",
    "direction_kernel",
    "exp",
    "have_shapes",
    "is_forked_child",
    "make_stream",
    "max_ulp",
    "num_threads",
    "serial_in_forked_child",
    "sigmoid",
    "tanh",
    "tensor_of",
]

_core.cpu_level()  # a GATEWISE_ISA that cannot be used is an error now, not in the middle of somebody's training


def cpu_level() -> str:
    """Return the CPU level whose kernels are in use.

    Returns
    -------
    str
        ``"x86-64-v4"`` (AVX-512), ``"x86-64-v3"`` (AVX2 and FMA), ``"neon"`` (aarch64), or ``"none"`` where there are
        no native kernels and the layers do without.

    Notes
    -----
    The best of :func:`cpu_levels`, unless the environment variable ``GATEWISE_ISA`` named another before the import.

    Examples
    --------
    >>> cpu_level() in [*cpu_levels(), "none"]
    True
    """
    return _core.cpu_level()


def cpu_levels() -> list[str]:
    """Return the CPU levels with native kernels that this machine can run, best first; empty where there is none.

    Examples
    --------
    >>> set(cpu_levels()) <= set(compiled_levels())
    True
    """
    return _core.cpu_levels()


def compiled_levels() -> list[str]:
    """Return the CPU levels with native kernels in this build, best first, whether or not this machine can run them."""
    return _core.compiled_levels()
