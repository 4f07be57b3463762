"""The native path at the ends of its range: sizes of one and around a vector's width, huge and tiny numbers, NaN."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from evaluate import by_forward, evaluate, reference

import gatewise as gw
from gatewise import _native
from problems import (
    PROBLEMS,
    Problem,
    Results,
    as_hx,
    build_layer,
    build_pair,
    initial_states,
    one_of_each,
    padded_inputs,
    random,
    without_dropout,
)
from tolerances import assert_close, assert_fails, assert_same, scale_free_error, spoilt

pytestmark = pytest.mark.skipif(_native.cpu_level() == "none", reason="this machine has no native kernels")
SMALL = (*one_of_each(num_steps=4), Problem("LSTM", num_steps=4, proj_size=3))
each_kind = pytest.mark.parametrize("problem", SMALL, ids=lambda problem: problem.id)


def assert_agrees_with_torch(problem: Problem) -> None:
    theirs, ours = build_pair(problem)
    expected = evaluate(theirs, problem, reference)
    actual = evaluate(ours, problem, by_forward)
    assert ours.path == "native"
    assert_same(actual, expected)
    for name, value in expected.items():
        quantity = "gradient" if name.startswith("grad") else "output"
        assert_fails(assert_close, actual[name], spoilt(value), quantity)


@pytest.mark.parametrize("hidden_size", [7, 8, 9, 15, 16, 17, 31, 32, 33])
@each_kind
def test_native_hidden_sizes_around_a_vectors_width(problem: Problem, hidden_size: int) -> None:
    assert_agrees_with_torch(replace(problem, hidden_size=hidden_size, input_size=hidden_size - 2, bidirectional=True))


@pytest.mark.parametrize(
    "sizes",
    [{"num_steps": 1}, {"num_sequences": 1}, {"input_size": 1}, {"hidden_size": 1, "proj_size": 0}],
    ids=str,
)
@each_kind
def test_native_sizes_of_one(problem: Problem, sizes: dict[str, int]) -> None:
    assert_agrees_with_torch(replace(problem, **sizes, num_layers=2, bidirectional=True))


@each_kind
def test_native_many_units(problem: Problem) -> None:
    assert_agrees_with_torch(replace(problem, hidden_size=512, num_steps=3))


@pytest.mark.parametrize("proj_size", [1, 7, 8, 9, 15, 16, 17, 31, 32])
def test_native_projection_sizes(proj_size: int) -> None:
    assert_agrees_with_torch(Problem("LSTM", hidden_size=33, proj_size=proj_size, num_layers=2, bidirectional=True))


@each_kind
def test_native_empty_batch_is_torchs(problem: Problem) -> None:
    theirs, ours = build_pair(problem)
    found = []
    for layer in (theirs, ours):
        x = torch.zeros(4, 0, problem.input_size, dtype=torch.float64, requires_grad=True)
        output, final = layer(x)
        output.sum().backward()
        finals = final if isinstance(final, tuple) else (final,)
        found.append([output, *finals, x.grad, *(parameter.grad for parameter in layer.parameters())])
    for actual, expected in zip(found[1], found[0], strict=True):
        assert actual.shape == expected.shape
        assert not actual.any()


# ---- what is not finite passes as in torch --------------------------------------------------------------------------


def results_with(problem: Problem, layer: torch.nn.RNNBase, place: str, value: float) -> Results:
    """Return results and gradients after one number at `place` became `value`."""
    x, states = padded_inputs(problem), initial_states(problem)
    with torch.no_grad():
        if place == "x":
            x[1, 1, 2] = value
        elif place in ("h_0", "c_0"):
            states[place == "c_0"][0, 1, 2] = value
        elif not place.startswith("d"):
            getattr(layer, place).view(-1)[-2] = value
    x.requires_grad_()
    output, final = layer(x, as_hx(problem, tuple(state.requires_grad_() for state in states)))
    values = [output, *(final if isinstance(final, tuple) else (final,))]
    cotangents = [random(tuple(result.shape), 5 + k) for k, result in enumerate(values)]
    if place.startswith("d"):
        cotangents[["dy", "dh_n", "dc_n"].index(place)][-1, 1, 2] = value
    leaves = {"x": x, **dict(zip(("h_0", "c_0"), states, strict=False)), **dict(layer.named_parameters())}
    found = torch.autograd.grad(values, list(leaves.values()), cotangents)
    results = dict(zip(("output", "h_n", "c_n"), values, strict=False))
    return {name: tensor.detach() for name, tensor in results.items()} | {
        f"grad {name}": gradient for name, gradient in zip(leaves, found, strict=True)
    }


PLACES = [
    "x",
    "h_0",
    "c_0",
    "weight_ih_l0",
    "weight_hh_l0",
    "weight_hr_l0",
    "bias_ih_l0",
    "bias_hh_l0",
    "dy",
    "dh_n",
    "dc_n",
]


def has(problem: Problem, place: str) -> bool:
    return not (
        (place in ("c_0", "dc_n") and problem.cell != "LSTM") or (place == "weight_hr_l0" and not problem.proj_size)
    )


def without_infinities(results: Results) -> Results:
    return {name: torch.where(value.isinf(), math.nan, value) for name, value in results.items()}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300, -1e300, 1e-310, 0.0])
@pytest.mark.parametrize(
    ("problem", "place"),
    [pytest.param(p, place, id=f"{p.id}-{place}") for p in SMALL for place in PLACES if has(p, place)],
)
def test_native_extreme_number_passes_as_in_torch(problem: Problem, place: str, value: float) -> None:
    theirs, ours = build_pair(problem)
    expected = results_with(problem, theirs, place, value)
    actual = results_with(problem, ours, place, value)
    assert ours.path == "native"
    if problem.cell == "GRU" and place in ("dy", "dh_n"):
        # torch computes h_t as (h_{t-1} - n) z + n, whose gradient in n is inf - inf z: NaN. Ours is inf (1 - z).
        actual, expected = without_infinities(actual), without_infinities(expected)
    assert_same(actual, expected)
    for name, tensor in expected.items():
        moved = tensor.clone()
        moved.view(-1)[0] = 3.0 if moved.view(-1)[0].isnan() else math.nan
        assert_fails(assert_same, actual, expected | {name: moved})


@pytest.mark.parametrize("scale", [1e-200, 1e-20, 1e4, 1e60])
@pytest.mark.parametrize("where", ["x", "weights"])
@each_kind
def test_native_tiny_and_saturated_networks_agree_with_torch(problem: Problem, where: str, scale: float) -> None:
    """Up to 1e60: products that overflow inside a sum are infinite or NaN as the order of its terms will have it."""
    theirs, ours = build_pair(problem)
    x = padded_inputs(problem)
    if where == "x":
        x = x * scale
    else:
        with torch.no_grad():
            for parameter in (*theirs.parameters(), *ours.parameters()):
                parameter.mul_(scale)
    expected = evaluate(theirs, problem, reference, x)
    actual = evaluate(ours, problem, by_forward, x)
    assert ours.path == "native"
    assert_same(actual, expected)
    assert_fails(assert_same, actual, expected | {"output": spoilt(expected["output"])})


# ---- float32 --------------------------------------------------------------------------------------------------------


def errors(problem: Problem, module: object, dtype: torch.dtype, truth: Results) -> dict[str, float]:
    run = reference if module is torch.nn else by_forward
    found = evaluate(build_layer(problem, module, dtype), problem, run)
    return {name: scale_free_error(value, truth[name]) for name, value in found.items()}


def test_native_float32_is_as_close_to_truth_as_torch() -> None:
    """Over problems.py: geometric mean and worst case of each quantity, within a factor two of torch's own float32."""
    ratios: dict[str, list[float]] = defaultdict(list)
    worst: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    floor = 2.0**-24  # half a unit in the last place of one: what rounding the result alone may cost
    for problem in map(without_dropout, PROBLEMS):
        truth = evaluate(build_layer(problem, torch.nn), problem, reference)
        theirs = errors(problem, torch.nn, torch.float32, truth)
        for name, error in errors(problem, gw.nn, torch.float32, truth).items():
            quantity = name.rsplit("_l", 1)[0]
            ratios[quantity].append(math.log(max(error, floor) / max(theirs[name], floor)))
            worst[quantity] = [max(worst[quantity][0], error), max(worst[quantity][1], theirs[name])]
    assert len(ratios) == 11
    for quantity, logs in ratios.items():
        ratio = math.exp(sum(logs) / len(logs))
        assert ratio <= 2, f"{quantity}: {ratio:.2f} times torch's error in the geometric mean"
        ours, torchs = worst[quantity]
        assert ours <= 2 * torchs, f"{quantity}: at worst {ours:.2g} off, torch {torchs:.2g}"


# ---- every CPU level ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", sorted({*_native.cpu_levels(), "none"} - {_native.cpu_level()}))
def test_layers_agree_with_torch_on_every_other_level(level: str) -> None:
    """The tests of agreement once more in a process of its own, since the level is chosen at import."""
    tests = Path(__file__).with_name("test_layer_agreement.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "agrees and forward", str(tests)]
    environment = os.environ | {"GATEWISE_ISA": level}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:]
    assert " passed" in ran.stdout
