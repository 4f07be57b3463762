"""gw.nn.RNNCell, LSTMCell and GRUCell against torch.nn's, and bit for bit against the layers."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from cell_module_cases import CASES, ONE_OF_EACH, CellCase, States, step, walk
from test_errors import error_of
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap

import gatewise as gw
from gatewise import _native
from problems import Results, build_layer, loss_of, random
from tolerances import TOLERANCES, assert_bit_equal, assert_close, assert_fails, assert_same, scale_free_error, spoilt

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
each_kind = pytest.mark.parametrize("case", ONE_OF_EACH, ids=lambda case: case.id)
each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
is_native = _native.cpu_level() != "none"
PATH = "native" if is_native else "torch"


def evaluate(cell: nn.Module, case: CellCase, with_state: bool = True) -> Results:
    """Walk four steps; return hidden states, last states and the gradients of `loss_of` in everything."""
    dtype = cell.weight_ih.dtype
    x, states = case.arguments(dtype=dtype)
    leaves = {"grad input": x.requires_grad_()}
    leaves |= {f"grad {name}": parameter for name, parameter in cell.named_parameters()}
    if with_state:
        leaves |= {f"grad {name}": state.requires_grad_() for name, state in zip("hc", states, strict=False)}
    hidden, last = walk(cell, x, states if with_state else None)
    gradients = torch.autograd.grad(loss_of(hidden, *last), tuple(leaves.values()))
    results = {"hidden": hidden, **dict(zip(("last h", "last c"), last, strict=False))}
    return {name: value.detach() for name, value in (results | dict(zip(leaves, gradients, strict=True))).items()}


@pytest.mark.parametrize("with_state", [True, False], ids=["state", "nostate"])
@each_case
def test_cell_agrees_with_torch(case: CellCase, with_state: bool) -> None:
    expected = evaluate(case.build(torch.nn), case, with_state)
    ours = case.build()
    actual = evaluate(ours, case, with_state)
    assert ours.path == PATH
    assert_same(actual, expected)
    for name, value in expected.items():
        assert_fails(assert_same, actual, expected | {name: spoilt(value)})


@each_case
def test_cell_float32_is_as_close_to_truth_as_torch(case: CellCase) -> None:
    truth = evaluate(case.build(torch.nn), case)
    theirs, ours = (evaluate(case.build(module, torch.float32), case) for module in (torch.nn, gw.nn))
    for name, value in truth.items():
        tolerance = TOLERANCES[torch.float32, "gradient" if name.startswith("grad") else "output"]
        error, their_error = (scale_free_error(results[name], value) for results in (ours, theirs))
        assert error <= min(tolerance, 4 * their_error + 4e-7), f"{name}: {error:.3g}, torch.nn {their_error:.3g}"
        assert scale_free_error(spoilt(ours[name]), value) > tolerance


@pytest.mark.skipif(not is_native, reason="this machine has no native kernels")
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad], ids=["grad", "no_grad"])
@each_dtype
@each_case
def test_cell_step_by_step_is_bit_equal_to_the_layer(case: CellCase, dtype: torch.dtype, mode: type) -> None:
    """The layer is called once over all steps: what is streamed and what is trained are the same model."""
    cell, layer = case.build(dtype=dtype), build_layer(case.problem, dtype=dtype)
    x, states = case.arguments(num_steps=6, dtype=dtype)
    initial = tuple(state.unsqueeze(0) for state in states)
    with mode():
        hidden, last = walk(cell, x, states)
        output, final = layer(x, initial if len(initial) == 2 else initial[0])
    assert cell.path == layer.path == "native"
    finals = final if isinstance(final, tuple) else (final,)
    for actual, expected in zip((hidden, *last), (output, *(state[0] for state in finals)), strict=True):
        assert_bit_equal(actual, expected)
        assert_fails(assert_bit_equal, actual, torch.nextafter(expected, torch.full_like(expected, 9)))


@each_kind
def test_cell_without_state_is_bit_equal_to_zero_state(case: CellCase) -> None:
    cell = case.build()
    x, states = case.arguments()
    zeros = tuple(torch.zeros_like(state) for state in states)
    for actual, expected in zip(step(cell, x[0], None), step(cell, x[0], zeros), strict=True):
        assert_bit_equal(actual, expected)
    assert_fails(assert_bit_equal, step(cell, x[0], None)[0], step(cell, x[0], states)[0])


@each_kind
def test_cell_unbatched_is_bit_equal_to_a_batch_of_one(case: CellCase) -> None:
    cell = case.build()
    x, states = case.arguments()
    batched = step(cell, x[0, :1], tuple(state[:1] for state in states))
    alone = step(cell, x[0, 0], tuple(state[0] for state in states))
    for actual, expected in zip(alone, batched, strict=True):
        assert actual.shape == (case.hidden_size,)
        assert_bit_equal(actual, expected[0])
        assert_fails(assert_bit_equal, actual, expected[0] + 1e-15)


@each_kind
def test_cell_passes_gradcheck_and_gradgradcheck(case: CellCase) -> None:
    cell = case.build()
    x, states = case.arguments()
    parameters = dict(cell.named_parameters())

    def both_steps(x: Tensor, *rest: Tensor) -> States:
        states, values = rest[: len(rest) - len(parameters)], rest[len(rest) - len(parameters) :]
        named = dict(zip(parameters, values, strict=True))
        for x_t in x:
            hx = states if len(states) == 2 else states[0]
            new = functional_call(cell, named, (x_t, hx))
            states = new if isinstance(new, tuple) else (new,)
        return states

    values = (x[:2], *states, *(parameter.detach() for parameter in parameters.values()))
    leaves = tuple(value.clone().requires_grad_() for value in values)
    assert torch.autograd.gradcheck(both_steps, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(both_steps, leaves, fast_mode=True)
    assert cell.path == PATH

    def cut(x: Tensor, *rest: Tensor) -> States:
        """Negative control: a gradient is missing."""
        return both_steps(x.detach(), *rest)

    assert not torch.autograd.gradcheck(cut, leaves, fast_mode=True, raise_exception=False)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's own, on its first jvp
@each_kind
def test_cell_jvp_is_right_and_not_zero(case: CellCase) -> None:
    """<v, J t> = <J^T v, t>, with J^T v from torch.nn's cell in reverse mode."""
    ours, theirs = case.build(), case.build(torch.nn)
    x, states = case.arguments()
    tangents = tuple(random(tuple(value.shape), 8 + k) for k, value in enumerate((x[0], *states)))

    def hidden_of(cell: nn.Module, *values: Tensor) -> Tensor:
        return step(cell, values[0], values[1:])[0]

    hidden, forward_mode = jvp(lambda *values: hidden_of(ours, *values), (x[0], *states), tangents)
    assert ours.path == "composite"
    leaves = tuple(value.requires_grad_() for value in (x[0].clone(), *states))
    expected = hidden_of(theirs, *leaves)
    cotangent = random(tuple(expected.shape), 20)
    reverse_mode = torch.autograd.grad(expected, leaves, cotangent)
    inner = torch.stack([(g * t).sum() for g, t in zip(reverse_mode, tangents, strict=True)]).sum()
    assert_close(hidden.detach(), expected.detach(), "output")
    assert_close((forward_mode * cotangent).sum().detach(), inner, "gradient")
    assert_fails(assert_close, (0 * forward_mode * cotangent).sum().detach(), inner, "gradient")


@each_kind
def test_cell_per_sample_gradients_under_vmap(case: CellCase) -> None:
    ours, theirs = case.build(), case.build(torch.nn)
    x, states = case.arguments()
    cotangent = random((case.hidden_size,), 9)

    def loss(parameters: dict[str, Tensor], x: Tensor, *states: Tensor) -> Tensor:
        new = functional_call(ours, parameters, (x, states if len(states) == 2 else states[0]))
        return ((new[0] if isinstance(new, tuple) else new) * cotangent).sum()

    parameters = {name: value.detach() for name, value in ours.named_parameters()}
    in_dims = (None, *[0] * (1 + len(states)))
    per_sample = vmap(grad(loss), in_dims=in_dims)(parameters, x[0], *states)
    for n in range(case.num_sequences or 1):
        out = (step(theirs, x[0, n], tuple(state[n] for state in states))[0] * cotangent).sum()
        for name, expected in zip(parameters, torch.autograd.grad(out, tuple(theirs.parameters())), strict=True):
            assert_close(per_sample[name][n], expected, "gradient", name)
            assert_fails(assert_close, per_sample[name][n], spoilt(expected), "gradient")


# ---- drop-ins -------------------------------------------------------------------------------------------------------


@each_case
def test_cell_state_dict_loads_both_ways_strictly(case: CellCase) -> None:
    x, states = case.arguments()
    for source, target in ((torch.nn, gw.nn), (gw.nn, torch.nn)):
        from_cell, to_cell = case.build(source, seed=1), case.build(target, seed=2)
        assert_fails(assert_close, step(to_cell, x[0], states)[0], step(from_cell, x[0], states)[0], "output")
        assert list(to_cell.state_dict()) == list(from_cell.state_dict())
        to_cell.load_state_dict(from_cell.state_dict(), strict=True)
        assert_close(step(to_cell, x[0], states)[0], step(from_cell, x[0], states)[0], "output")


@each_kind
def test_cell_is_what_torch_has_under_the_same_name(case: CellCase) -> None:
    cells = []
    for module in (torch.nn, gw.nn):
        torch.manual_seed(3)
        options = {"nonlinearity": "relu"} if case.nonlinearity == "relu" else {}
        cells.append(getattr(module, f"{case.cell}Cell")(4, 5, bias=False, **options, dtype=torch.float64))
    theirs, ours = cells
    assert repr(ours) == repr(theirs)
    assert isinstance(ours, nn.RNNCellBase)
    assert not isinstance(ours, type(theirs))
    assert ours.bias_ih is None
    for name, parameter in theirs.named_parameters():
        assert_bit_equal(getattr(ours, name).detach(), parameter.detach(), name)
        assert_fails(assert_bit_equal, getattr(ours, name).detach() * 1.001, parameter.detach(), name)
    meta = getattr(gw.nn, f"{case.cell}Cell")(4, 5, device="meta")
    assert meta.weight_ih.is_meta


@each_kind
def test_cell_copies_pickles_and_saves(case: CellCase) -> None:
    cell = case.build()
    x, states = case.arguments()
    expected = step(cell, x[0], states)[0]
    file = io.BytesIO()
    torch.save(cell, file)
    file.seek(0)
    twins = copy.deepcopy(cell), pickle.loads(pickle.dumps(cell)), torch.load(file, weights_only=False)
    for twin in twins:
        assert_bit_equal(step(twin, x[0], states)[0], expected)
        with torch.no_grad():
            twin.weight_hh.mul_(0.5)
        assert_fails(assert_bit_equal, step(twin, x[0], states)[0], expected)
    assert_bit_equal(step(cell, x[0], states)[0], expected)


@each_kind
def test_cell_takes_the_path_of_torch_where_kernels_do_not_fit(case: CellCase) -> None:
    theirs, ours = case.build(torch.nn, torch.bfloat16), case.build(gw.nn, torch.bfloat16)
    x, states = case.arguments(dtype=torch.bfloat16)
    assert_bit_equal(step(ours, x[0], states)[0], step(theirs, x[0], states)[0])
    assert_fails(assert_bit_equal, step(ours, x[0] + 1, states)[0], step(theirs, x[0], states)[0])
    assert ours.path == "torch"
    empty = torch.zeros(0, case.input_size, dtype=torch.bfloat16)
    assert step(ours, empty, None)[0].shape == (0, case.hidden_size)
    autonomous = getattr(gw.nn, f"{case.cell}Cell")(0, 5)
    assert step(autonomous, torch.zeros(3, 0), None)[0].shape == (3, 5)


@each_kind
def test_cell_compiles_without_a_graph_break(case: CellCase) -> None:
    cell = case.build()
    x, states = case.arguments()
    compiled = torch.compile(lambda x, states: step(cell, x, states), backend="eager", fullgraph=True)
    for actual, expected in zip(compiled(x[0], states), step(cell, x[0], states), strict=True):
        assert_close(actual, expected, "output")
        assert_fails(assert_close, actual, spoilt(expected), "output")


# ---- errors ---------------------------------------------------------------------------------------------------------

N, I, H = 3, 4, 5  # noqa: E741 - the sizes' letters
X = torch.zeros(N, I)
# x, shape of h, and the shape that the message has to name
MISTAKES: dict[str, tuple[Tensor, tuple[int, ...] | None, str]] = {
    "input size": (torch.zeros(N, I + 1), None, "(N, 4)"),
    "input size unbatched": (torch.zeros(I - 1), None, "(4,)"),
    "input 0-D": (torch.tensor(1.0), None, "1D or 2D"),
    "input 3-D": (X[None], None, "1D or 2D"),
    "h units": (X, (N, H + 1), "(3, 5)"),
    "h sequences": (X, (N + 1, H), "(3, 5)"),
    "h of one sequence": (X, (1, H), "(3, 5)"),
    "h 1-D with a batch": (X, (H,), "(3, 5)"),
    "h 3-D": (X, (1, N, H), "(3, 5)"),
    "h 2-D without a batch": (X[0], (1, H), "(5,)"),
}


@each_kind
@pytest.mark.parametrize("mistake", MISTAKES)
def test_cell_mistake_raises_what_torch_raises_and_names_the_shape(case: CellCase, mistake: str) -> None:
    """pytorch#4145: a state of the wrong shape is told which shape it should have."""
    x, shape, expected_shape = MISTAKES[mistake]
    states = None if shape is None else (torch.zeros(shape),) * (2 if case.cell == "LSTM" else 1)
    theirs, ours = (case.build(module, torch.float32) for module in (torch.nn, gw.nn))
    expected, actual = (error_of(step, cell, x, states) for cell in (theirs, ours))
    assert expected is not None, "torch itself accepts this"
    assert type(actual) is type(expected), f"{actual!r}, torch: {expected!r}"
    assert expected_shape in str(actual)
    assert x.dim() not in (1, 2) or str(tuple(x.shape if shape is None else shape)) in str(actual)
    assert error_of(step, ours, X, (torch.zeros(N, H),) * (2 if case.cell == "LSTM" else 1)) is None


@each_kind
def test_cell_of_another_dtype_raises_what_torch_raises(case: CellCase) -> None:
    theirs, ours = (case.build(module, torch.float32) for module in (torch.nn, gw.nn))
    wrong = (torch.zeros(N, H, dtype=torch.float64),) * (2 if case.cell == "LSTM" else 1)
    for arguments in ((X.double(), None), (X.long(), None), (X, wrong)):
        expected = error_of(step, theirs, *arguments)
        assert type(error_of(step, ours, *arguments)) is type(expected) is RuntimeError


def test_cell_states_of_the_wrong_kind() -> None:
    state = torch.zeros(N, H)
    for cell in (gw.nn.RNNCell(I, H), gw.nn.GRUCell(I, H)):
        with pytest.raises(TypeError, match="one tensor h, got tuple"):
            cell(X, (state, state))
    cell = gw.nn.LSTMCell(I, H)
    with pytest.raises(TypeError, match="a pair"):
        cell(X, state)
    with pytest.raises(RuntimeError, match="got 3 values"):
        cell(X, (state, state, state))
    with pytest.raises(RuntimeError, match=r"Expected c of shape \(3, 5\), got \(3, 6\)"):
        cell(X, (state, torch.zeros(N, H + 1)))
    assert cell(X, [state, state])[0].shape == (N, H)


def test_cell_options_that_make_no_cell() -> None:
    with pytest.raises(ValueError, match="nonlinearity must be 'tanh' or 'relu', got 'sin'"):
        gw.nn.RNNCell(I, H, nonlinearity="sin")
    with pytest.raises(ValueError, match="hidden_size must be at least 1, got 0"):
        gw.nn.GRUCell(I, 0)
    with pytest.raises(TypeError):
        gw.nn.LSTMCell(I, H, proj_size=2)
