"""Checking on the user's own machine that the native path computes what the cells' equations say.

A layer that is wrong on one processor, or in one build, is a mistake that nobody looks for (pytorch#190056, haste#17).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gatewise import _native
from gatewise.cells import State
from gatewise.nn.call import Call, read_call
from gatewise.nn.composite import run_composite
from gatewise.nn.layers import GRU, LSTM, RNN, RecurrentLayer
from gatewise.nn.paths import choose_path, run

# Scale-free, against the float64 reference; about ten times the largest error seen on processors that are right.
_TOLERANCES = {torch.float64: 1e-12, torch.float32: 2e-5}
_LENGTHS = (19, 0, 7, 23, 1, 12, 23)


@dataclass(frozen=True)
class Finding:
    """One comparison of the native path with the reference."""

    layer: str  # "LSTM with projection", ...
    dtype: str
    error: float  # largest difference of any output, state or gradient over its largest entry
    tolerance: float
    is_repeatable: bool  # whether one thread gives the same output bits as all of them

    @property
    def is_right(self) -> bool:
        """Whether this machine may be trusted with it."""
        return self.error <= self.tolerance and self.is_repeatable


@dataclass(frozen=True)
class SelfCheck:
    """What `selfcheck` found.

    Attributes
    ----------
    cpu_level : str
        The kernels in use: "x86-64-v4", "x86-64-v3", "neon"; "none" where the layers do without them.
    cpu_levels : tuple of str
        All that this machine can run.
    num_threads : int
        How many threads a large layer takes: torch's number.
    findings : tuple of Finding
        Empty where there are no kernels.
    """

    cpu_level: str
    cpu_levels: tuple[str, ...]
    num_threads: int
    findings: tuple[Finding, ...]

    @property
    def is_right(self) -> bool:
        """Whether everything agreed."""
        return all(finding.is_right for finding in self.findings)

    def __str__(self) -> str:
        """Say what runs here, what disagreed, and the verdict."""
        if not self.findings:
            return (
                "This processor has no native kernels: the layers are right, and as fast as torch.nn's.\n"
                "They need AVX2 and FMA (x86-64) or NEON (aarch64)."
            )
        lines = [f"kernels {self.cpu_level} (of {', '.join(self.cpu_levels)}), up to {self.num_threads} threads"]
        for finding in self.findings:
            if not finding.is_right:
                repeatable = "" if finding.is_repeatable else "; its bits depend on the number of threads"
                lines.append(
                    f"WRONG: {finding.layer}, {finding.dtype}: error {finding.error:.2g}, "
                    f"allowed {finding.tolerance:.2g}{repeatable}"
                )
        worst = {finding.dtype: 0.0 for finding in self.findings}
        for finding in self.findings:
            worst[finding.dtype] = max(worst[finding.dtype], finding.error)
        errors = ", ".join(f"{dtype} {error:.1e}" for dtype, error in worst.items())
        lines.append(f"{len(self.findings)} layers against the float64 reference; largest error: {errors}")
        if not self.is_right:
            lines.append("Do not use the native path here: set GATEWISE_ISA=none, and please report this.")
        return "\n".join(lines)


def selfcheck() -> SelfCheck:
    """Compare the native path with the cells' own equations on this machine; takes a second or two.

    Every cell, with and without a projection, in float32 and float64, two layers, both directions, sequences of
    different lengths with an empty one: outputs, final states and all gradients against the composite path in float64,
    and the output of one thread against that of all, bit for bit. The random state stays as it is.

    Returns
    -------
    SelfCheck
        Print it; `is_right` says whether everything agreed.

    Examples
    --------
    >>> import gatewise as gw
    >>> gw.selfcheck().is_right
    True
    """
    findings: tuple[Finding, ...] = ()
    if _native.cpu_level() != "none":
        with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
            torch.manual_seed(0)
            findings = tuple(_check(name, layer, dtype) for name, layer in _layers() for dtype in _TOLERANCES)
    return SelfCheck(_native.cpu_level(), tuple(_native.cpu_levels()), torch.get_num_threads(), findings)


def _layers() -> list[tuple[str, RecurrentLayer]]:
    # Sizes that leave a tail in every vector, and are large enough for two threads.
    def build(kind: Callable[..., RecurrentLayer], **options: Any) -> RecurrentLayer:
        return kind(19, 77, num_layers=2, bidirectional=True, dtype=torch.float64, **options)

    return [
        ("RNN (tanh)", build(RNN)),
        ("RNN (relu)", build(RNN, nonlinearity="relu")),
        ("LSTM", build(LSTM)),
        ("LSTM with projection", build(LSTM, proj_size=33)),
        ("GRU", build(GRU)),
    ]


def _check(name: str, reference: RecurrentLayer, dtype: torch.dtype) -> Finding:
    x = torch.randn(max(_LENGTHS), len(_LENGTHS), reference.input_size, dtype=torch.float64)
    layer = copy.deepcopy(reference).to(dtype)
    expected = _results(reference, x, is_native=False)
    actual = _results(layer, x.to(dtype), is_native=True)
    error = max(_error(a, e) for a, e in zip(actual, expected, strict=True))
    return Finding(
        name, str(dtype).removeprefix("torch."), error, _TOLERANCES[dtype], _is_repeatable(layer, x.to(dtype))
    )


def _results(layer: RecurrentLayer, x: Tensor, *, is_native: bool) -> list[Tensor]:
    """Return output, final states and the gradients of x and all weights for random cotangents."""
    x = x.clone().requires_grad_()
    output, final = _run(layer, read_call(layer, x, lengths=list(_LENGTHS)), is_native=is_native)
    values = [output, final.hidden, *([] if final.cell is None else [final.cell])]
    generator = torch.Generator().manual_seed(1)
    cotangents = [torch.randn(v.shape, generator=generator, dtype=torch.float64).to(v.dtype) for v in values]
    return values + list(torch.autograd.grad(values, [x, *layer.parameters()], cotangents))


def _run(layer: RecurrentLayer, call: Call, *, is_native: bool) -> tuple[Tensor, State]:
    if not is_native:
        reference = run_composite(layer, call)
        return reference.output, reference.final
    path = choose_path(call)
    if path != "native":
        raise RuntimeError(f"the native path was not taken but {path!r}; call selfcheck outside of torch's transforms")
    return run(path, layer, call)


def _error(actual: Tensor, expected: Tensor) -> float:
    """Return the largest difference over the largest expected entry; infinite for anything that is not finite."""
    difference = (actual.detach().double() - expected.detach()).abs().max()
    error = float(difference / expected.detach().abs().max())
    return error if error == error else float("inf")


def _is_repeatable(layer: RecurrentLayer, x: Tensor) -> bool:
    with torch.no_grad():
        several = layer(x, lengths=list(_LENGTHS))[0]
        with _native.num_threads(1):
            one = layer(x, lengths=list(_LENGTHS))[0]
    return torch.equal(one, several)
