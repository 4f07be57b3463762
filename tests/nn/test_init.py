"""gw.nn.init: every layer and direction, the sum of the two biases, each gate's own block, exact values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.nn import Module, RNNBase
from torch.nn.utils import parametrizations

import gatewise as gw
from gatewise.nn import init
from gatewise.nn.weights import parameter_suffix
from problems import KINDS, Problem, build_layer, one_of_each, padded_inputs
from tolerances import assert_bit_equal, assert_close, assert_fails, spoilt

STACKED = {"num_layers": 2, "bidirectional": True, "hidden_size": 13}
GATED = tuple(problem for problem in one_of_each(**STACKED) if problem.cell != "RNN")
PROJECTED = Problem("LSTM", **STACKED, proj_size=5)
each_module = pytest.mark.parametrize("module", [torch.nn, gw.nn], ids=["torch", "gatewise"])
each_gated = pytest.mark.parametrize("problem", [*GATED, PROJECTED], ids=lambda problem: problem.id)
each_layer = pytest.mark.parametrize("problem", [*one_of_each(**STACKED), PROJECTED], ids=lambda problem: problem.id)
# rows of the gates in torch's order
BLOCKS = {"LSTM": ["input", "forget", "cell", "output"], "GRU": ["reset", "update", "new"], "RNN": ["state"]}
MEMORY = {"LSTM": "forget", "GRU": "update"}


def suffixes(layer: Module) -> list[str]:
    """Return the parameter suffix of every layer and direction."""
    if not isinstance(layer, RNNBase):
        return [""]
    directions = 2 if layer.bidirectional else 1
    return [f"_{parameter_suffix(row, directions)}" for row in range(layer.num_layers * directions)]


def bias_of(layer: Module, cell: str, gate: str, suffix: str) -> Tensor:
    """Return what the equations add in the rows of a gate: b_ih + b_hh (H,)."""
    total = getattr(layer, f"bias_ih{suffix}") + getattr(layer, f"bias_hh{suffix}")
    return total.detach().chunk(len(BLOCKS[cell]))[BLOCKS[cell].index(gate)]


def untouched(layer: Module, before: dict[str, Tensor], cell: str, gates: set[str]) -> Iterator[tuple[Tensor, Tensor]]:
    """Return (now, before) of every weight, and of the rows of every bias that do not belong to `gates`."""
    for name, parameter in layer.named_parameters():
        if not name.startswith("bias"):
            yield parameter.detach(), before[name]
            continue
        parts = (tensor.detach().chunk(len(BLOCKS[cell])) for tensor in (parameter, before[name]))
        for gate, now, then in zip(BLOCKS[cell], *parts, strict=True):
            if gate not in gates:
                yield now, then


def build_cell(module: object, cell: str, **options: object) -> Module:
    made: Module = getattr(module, f"{cell}Cell")(4, 13, **options, dtype=torch.float64)
    return made


def assert_every_bias(layer: Module, cell: str, gate: str, value: float) -> None:
    for suffix in suffixes(layer):
        assert_bit_equal(bias_of(layer, cell, gate, suffix), torch.full((13,), value, dtype=torch.float64), suffix)


# ---- forget bias: pytorch#750, pytorch#20102 ------------------------------------------------------------------------


@each_module
@each_gated
@pytest.mark.parametrize("value", [1.0, -2.5])
def test_forget_bias_is_the_sum_in_every_layer_and_direction(problem: Problem, module: object, value: float) -> None:
    layer = build_layer(problem, module)
    before = {name: parameter.detach().clone() for name, parameter in layer.named_parameters()}
    assert init.forget_bias_(layer, value) is layer
    gate = MEMORY[problem.cell]
    assert_every_bias(layer, problem.cell, gate, value)
    for now, then in untouched(layer, before, problem.cell, {gate}):
        assert_bit_equal(now, then)


@each_gated
@pytest.mark.parametrize(
    "trap",
    ["layer 0 only", "one direction only", "both biases", "b_hh keeps its noise", "the wrong gate"],
)
def test_forget_bias_check_notices_the_known_traps(problem: Problem, trap: str) -> None:
    """Negative control: what others got wrong is told apart."""
    layer, fresh = init.forget_bias_(build_layer(problem)), build_layer(problem)
    fallen = {"layer 0 only": "l1", "one direction only": "reverse", "b_hh keeps its noise": "bias_hh"}
    with torch.no_grad():
        for (name, parameter), own in zip(layer.named_parameters(), fresh.parameters(), strict=True):
            if not name.startswith("bias"):
                continue
            if fallen.get(trap, "nowhere") in name:
                parameter.copy_(own)
            elif trap == "both biases" and "bias_hh" in name:
                parameter.add_(1.0)
            elif trap == "the wrong gate":
                parameter.copy_(parameter.roll(13))
    assert_fails(assert_every_bias, layer, problem.cell, MEMORY[problem.cell], 1.0)


@each_module
@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
def test_forget_bias_acts_on_cells(cell: str, module: object) -> None:
    made = init.forget_bias_(build_cell(module, cell), 3.0)
    assert_every_bias(made, cell, MEMORY[cell], 3.0)
    assert_fails(assert_every_bias, build_cell(module, cell), cell, MEMORY[cell], 3.0)


@each_module
@pytest.mark.parametrize("problem", [Problem("LSTM", hidden_size=13), Problem("GRU", hidden_size=13)])
def test_forget_bias_one_gives_the_lifetimes_of_the_textbook(problem: Problem, module: object) -> None:
    """The gate is sigma(1) = .7311 where the preactivation is otherwise 0: 3.72, 3.19 and 2.21 steps."""
    layer = init.forget_bias_(build_layer(problem, module))
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if name.startswith("weight"):
                parameter.zero_()
    ours = build_layer(problem)
    ours.load_state_dict(layer.state_dict())
    trace = ours.trace(padded_inputs(problem))
    f = trace.gates[f"{MEMORY[problem.cell]}_gate"].detach()
    exact = 1 / (1 + math.exp(-1))
    assert_close(f, torch.full_like(f, exact), "output")
    assert_fails(assert_close, f, torch.full_like(f, 1 / (1 + math.exp(-2))), "output")
    assert round(exact, 4) == 0.7311
    assert [round(steps, 2) for steps in (1 / (1 - exact), -1 / math.log(exact))] == [3.72, 3.19]
    half_life = gw.flow.memory_half_life(trace)
    assert_close(half_life, torch.full_like(half_life, math.log(2) / -math.log(exact)), "output")
    assert round(half_life[0, 0].item(), 2) == 2.21


# ---- chrono ---------------------------------------------------------------------------------------------------------


@each_module
@each_gated
def test_chrono_spreads_lifetimes_between_two_and_t_max(problem: Problem, module: object) -> None:
    """Mean lifetime 1/(1 - sigma(b)) = 1 + u, u ~ U[1, t_max - 1]."""
    t_max, layer = 50.0, build_layer(problem, module)
    before = {name: parameter.detach().clone() for name, parameter in layer.named_parameters()}
    assert init.chrono_(layer, t_max) is layer
    gate = MEMORY[problem.cell]
    lifetimes = [1 / (1 - torch.sigmoid(bias_of(layer, problem.cell, gate, suffix))) for suffix in suffixes(layer)]
    drawn = torch.stack(lifetimes)
    assert drawn.shape == (4, 13)
    assert drawn.min() >= 2 - 1e-9
    assert drawn.max() <= t_max + 1e-9
    assert drawn.unique().numel() == drawn.numel()
    u = torch.stack([bias_of(layer, problem.cell, gate, suffix) for suffix in suffixes(layer)]).exp()
    assert_close(drawn, 1 + u, "output")
    assert_fails(assert_close, drawn, u, "output")
    touched = {gate}
    if problem.cell == "LSTM":
        touched.add("input")
        for suffix in suffixes(layer):
            assert_bit_equal(bias_of(layer, "LSTM", "input", suffix), -bias_of(layer, "LSTM", "forget", suffix))
    for now, then in untouched(layer, before, problem.cell, touched):
        assert_bit_equal(now, then)


def test_chrono_draws_uniformly() -> None:
    """5000 units: mean of u within four standard errors of t_max / 2, and no tail is missing."""
    layer = init.chrono_(nn.GRU(1, 5000), 100, Generator().manual_seed(0))
    u = layer.bias_ih_l0.detach()[5000:10000].double().exp()
    standard_error = 98 / math.sqrt(12 * 5000)
    assert abs(u.mean().item() - 50) < 4 * standard_error
    assert u.min() < 1.1
    assert u.max() > 98.9
    log_uniform = torch.linspace(0, math.log(99), 5000).exp()  # negative control: u itself is uniform, not its log
    assert abs(log_uniform.mean().item() - 50) > 4 * standard_error


def test_chrono_of_two_steps_is_a_bias_of_zero() -> None:
    cell = init.chrono_(build_cell(gw.nn, "LSTM"), 2)
    assert_every_bias(cell, "LSTM", "forget", 0.0)
    assert_every_bias(cell, "LSTM", "input", 0.0)
    assert_fails(assert_every_bias, init.chrono_(build_cell(gw.nn, "LSTM"), 3), "LSTM", "forget", 0.0)


# ---- orthogonal -----------------------------------------------------------------------------------------------------


def assert_each_block_orthogonal(layer: Module, cell: str, gain: float) -> None:
    for suffix in suffixes(layer):
        for block in getattr(layer, f"weight_hh{suffix}").detach().chunk(len(BLOCKS[cell])):
            expected = gain**2 * torch.eye(block.shape[1], dtype=torch.float64)
            assert_close(block.T @ block, expected, "output", suffix)


@each_module
@each_layer
@pytest.mark.parametrize("gain", [1.0, 0.7])
def test_orthogonal_blocks_of_every_layer_and_direction(problem: Problem, module: object, gain: float) -> None:
    """With a projection the blocks are (H, P): their columns are orthonormal."""
    layer = build_layer(problem, module)
    before = {name: parameter.detach().clone() for name, parameter in layer.named_parameters()}
    assert init.orthogonal_(layer, gain) is layer
    assert_each_block_orthogonal(layer, problem.cell, gain)
    for name, parameter in layer.named_parameters():
        if "weight_hh" not in name:
            assert_bit_equal(parameter.detach(), before[name])
        blocks = parameter.detach().chunk(len(BLOCKS[problem.cell]))
        assert all((a - b).abs().max() > 1e-3 for a, b in pairwise(blocks))


@each_layer
def test_orthogonal_check_notices_one_spoilt_entry_and_the_stacked_matrix(problem: Problem) -> None:
    layer = init.orthogonal_(build_layer(problem))
    last = getattr(layer, f"weight_hh{suffixes(layer)[-1]}")
    with torch.no_grad():
        last.copy_(spoilt(last))
    assert_fails(assert_each_block_orthogonal, layer, problem.cell, 1.0)
    if problem.cell != "RNN":  # the trap: torch's function on the stacked (G*H, H) matrix
        for suffix in suffixes(layer):
            nn.init.orthogonal_(getattr(layer, f"weight_hh{suffix}"))
        assert_fails(assert_each_block_orthogonal, layer, problem.cell, 1.0)


@each_module
@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_orthogonal_acts_on_cells(cell: str, module: object) -> None:
    assert_each_block_orthogonal(init.orthogonal_(build_cell(module, cell)), cell, 1.0)
    assert_fails(assert_each_block_orthogonal, build_cell(module, cell), cell, 1.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_orthogonal_is_drawn_in_float64_and_rounded(dtype: torch.dtype) -> None:
    exact, rounded = (
        init.orthogonal_(nn.LSTM(3, 7, dtype=kind), generator=Generator().manual_seed(4)) for kind in (None, dtype)
    )
    wide = init.orthogonal_(nn.LSTM(3, 7, dtype=torch.float64), generator=Generator().manual_seed(4))
    assert_bit_equal(rounded.weight_hh_l0.detach(), wide.weight_hh_l0.detach().to(dtype))
    assert_bit_equal(exact.weight_hh_l0.detach(), wide.weight_hh_l0.detach().float())
    other = init.orthogonal_(nn.LSTM(3, 7, dtype=dtype), generator=Generator().manual_seed(5))
    assert_fails(assert_bit_equal, other.weight_hh_l0.detach(), rounded.weight_hh_l0.detach())


# ---- identity -------------------------------------------------------------------------------------------------------


@each_module
@pytest.mark.parametrize("bias", [True, False])
def test_identity_makes_an_irnn_whose_jacobians_keep_or_drop(module: object, bias: bool) -> None:
    """At initialisation every singular value of the step Jacobian is exactly 0 or 1."""
    problem = Problem("RNN", nonlinearity="relu", bias=bias, **STACKED)
    layer = build_layer(problem, module)
    inputs = [getattr(layer, f"weight_ih{suffix}").detach().clone() for suffix in suffixes(layer)]
    assert init.identity_(layer) is layer
    ours = build_layer(problem)
    ours.load_state_dict(layer.state_dict())
    trace = ours.trace(padded_inputs(problem))
    for row, suffix in enumerate(suffixes(layer)):
        assert_bit_equal(getattr(layer, f"weight_hh{suffix}").detach(), torch.eye(13, dtype=torch.float64))
        assert_bit_equal(getattr(layer, f"weight_ih{suffix}").detach(), inputs[row])
        if bias:
            assert not bias_of(layer, "RNN", "state", suffix).any()
        view, weights = trace.layer(row // 2, "reverse" if row % 2 else "forward"), trace.weights(row)
        state = gw.cells.State(view.hidden)
        singular = torch.linalg.svdvals(trace.equations.step_jacobian(state, state, {}, weights))
        assert ((singular == 0) | (singular == 1)).all()
        assert (singular == 0).any()
        assert (singular == 1).any()


def test_identity_scaled_and_on_cells() -> None:
    for module in (torch.nn, gw.nn):
        cell = init.identity_(build_cell(module, "RNN"), gain=0.5)
        assert_bit_equal(cell.weight_hh.detach(), 0.5 * torch.eye(13, dtype=torch.float64))
        assert_fails(assert_bit_equal, cell.weight_hh.detach(), torch.eye(13, dtype=torch.float64))
        assert not cell.bias_ih.any()
        assert not cell.bias_hh.any()


# ---- all of them ----------------------------------------------------------------------------------------------------

FUNCTIONS: dict[str, Callable[[Module], Module]] = {
    "forget_bias_": init.forget_bias_,
    "chrono_": partial(init.chrono_, t_max=20),
    "orthogonal_": init.orthogonal_,
    "identity_": init.identity_,
}
each_function = pytest.mark.parametrize("name", FUNCTIONS)
KIND = {"forget_bias_": "LSTM", "chrono_": "GRU", "orthogonal_": "LSTM", "identity_": "RNN"}


@each_function
def test_init_acts_on_every_layer_of_a_model(name: str) -> None:
    kind = KIND[name]
    model = nn.Sequential(
        nn.Linear(3, 3), getattr(nn, kind)(3, 5), nn.ModuleList([getattr(gw.nn, kind)(5, 5, bidirectional=True)])
    )
    cell = model.add_module("cell", getattr(nn, f"{kind}Cell")(3, 5)) or model.cell
    versions = {key: parameter._version for key, parameter in model.named_parameters()}
    assert FUNCTIONS[name](model) is model
    changed = {key for key, parameter in model.named_parameters() if parameter._version != versions[key]}
    stem = "weight_hh" if name in ("orthogonal_", "identity_") else "bias_ih"
    assert {f"1.{stem}_l0", f"2.0.{stem}_l0", f"2.0.{stem}_l0_reverse", f"cell.{stem}"} <= changed
    assert not any(key.startswith("0.") for key in changed)
    assert cell.weight_hh.requires_grad


@each_function
def test_init_leaves_the_graph_and_frozen_parameters_as_they_were(name: str) -> None:
    layer = getattr(nn, KIND[name])(3, 5, num_layers=2)
    layer.weight_hh_l0.requires_grad_(requires_grad=False)
    identities = [id(parameter) for parameter in layer.parameters()]
    FUNCTIONS[name](layer)
    assert [id(parameter) for parameter in layer.parameters()] == identities
    assert all(parameter.grad_fn is None for parameter in layer.parameters())
    assert [key for key, parameter in layer.named_parameters() if not parameter.requires_grad] == ["weight_hh_l0"]
    assert layer._flat_weights[0] is layer.weight_ih_l0


@pytest.mark.parametrize("draw", [partial(init.chrono_, t_max=30), init.orthogonal_], ids=["chrono", "orthogonal"])
def test_init_draws_from_the_generator_given(draw: Callable[..., Module]) -> None:
    layer = build_layer(Problem("GRU"))

    def drawn(generator: Generator | None = None) -> Tensor:
        draw(layer, generator=generator)
        return torch.cat([parameter.detach().flatten() for parameter in layer.parameters()])

    state = torch.get_rng_state()
    first, again, other = (drawn(Generator().manual_seed(seed)) for seed in (7, 7, 8))
    assert torch.equal(torch.get_rng_state(), state)
    assert_bit_equal(first, again)
    assert_fails(assert_bit_equal, first, other)
    torch.manual_seed(3)
    by_default = drawn()
    assert not torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(3)
    assert_bit_equal(drawn(), by_default)


@each_module
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind["cell"] + kind.get("nonlinearity", ""))
def test_init_refuses_a_cell_without_the_gate(kind: dict[str, str], module: object) -> None:
    layer = build_layer(Problem(**kind), module)
    cell = build_cell(module, kind["cell"])
    for refused in (layer, cell):
        if kind["cell"] == "RNN":
            for name in ("forget_bias_", "chrono_"):
                with pytest.raises(TypeError, match=rf"{name}: RNN(Cell)? is an RNN and has no gate"):
                    FUNCTIONS[name](refused)
        else:
            with pytest.raises(TypeError, match=f"is of kind {kind['cell']}; pass the RNN layers alone"):
                init.identity_(refused)


@each_function
def test_init_of_a_model_changes_nothing_if_one_layer_is_refused(name: str) -> None:
    other = {"RNN": nn.LSTM(3, 5)}.get(KIND[name], nn.RNN(3, 5))
    if name == "orthogonal_":
        other = parametrizations.weight_norm(nn.LSTM(3, 5), "weight_hh_l0")
    model = nn.ModuleDict({"good": getattr(nn, KIND[name])(3, 5), "bad": other})
    before = [parameter.detach().clone() for parameter in model.parameters()]
    with pytest.raises((TypeError, ValueError), match=f"{name}: bad "):
        FUNCTIONS[name](model)
    for parameter, then in zip(model.parameters(), before, strict=True):
        assert_bit_equal(parameter.detach(), then)


@each_function
def test_init_refuses_computed_weights(name: str) -> None:
    """Writing into a weight that is computed at each call would be lost."""
    layer = getattr(nn, KIND[name])(3, 5)
    parametrizations.weight_norm(layer, "bias_ih_l0" if "bias" in name or "chrono" in name else "weight_hh_l0")
    with pytest.raises(ValueError, match="weights that are computed from others"):
        FUNCTIONS[name](layer)


@each_function
def test_init_refuses_what_is_not_recurrent(name: str) -> None:
    with pytest.raises(ValueError, match="Sequential is no RNN, LSTM or GRU layer or cell and contains none"):
        FUNCTIONS[name](nn.Sequential(nn.Linear(3, 3)))


@each_module
def test_init_refuses_values_that_cannot_be(module: object) -> None:
    layer = build_layer(Problem("LSTM"), module)
    for t_max in (1, 1.99, -3):
        with pytest.raises(ValueError, match=f"t_max must be at least 2 steps, got {t_max}"):
            init.chrono_(layer, t_max)
    for bad in (math.nan, math.inf):
        for name, function in (("value", init.forget_bias_), ("t_max", init.chrono_), ("gain", init.orthogonal_)):
            with pytest.raises(ValueError, match=f"{name} must be a finite number, got {bad}"):
                function(layer, bad)
    for made in (build_layer(Problem("GRU", bias=False), module), build_cell(module, "LSTM", bias=False)):
        for name in ("forget_bias_", "chrono_"):
            with pytest.raises(ValueError, match="bias=False"):
                FUNCTIONS[name](made)
        init.orthogonal_(made)
