"""torch.compile and torch.export: no graph break, the kernels as one operator a layer, the same bits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import gatewise as gw
from gatewise import _native
from gatewise.nn.native import operator
from problems import Problem, as_hx, build_layer, initial_states, one_of_each, padded_inputs
from tolerances import assert_bit_equal, assert_close, assert_fails

pytestmark = pytest.mark.skipif(_native.cpu_level() == "none", reason="this machine has no native kernels")
CASES = (*one_of_each(), *one_of_each(num_layers=2, bidirectional=True, batch_first=True), Problem("LSTM", proj_size=3))
each_case = pytest.mark.parametrize("problem", CASES, ids=lambda problem: problem.id)


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@each_case
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_layer_gives_the_same_bits_without_a_graph_break(problem: Problem, backend: str) -> None:
    layer, states = build_layer(problem), initial_states(problem)
    x = padded_inputs(problem).requires_grad_()

    def results(x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        inputs = x.transpose(0, 1) if problem.batch_first else x
        output, final = layer(inputs, as_hx(problem, states), lengths=lengths)
        return output, final[0] if isinstance(final, tuple) else final

    compiled = torch.compile(results, fullgraph=True, backend=backend)
    for lengths in (None, torch.tensor([7, 0, 3])):
        actual, expected = compiled(x, lengths), results(x, lengths)
        assert layer.path == "native"
        pairs = [*zip(actual, expected, strict=True)]
        wanted = [x, *layer.parameters()]
        gradients = (
            torch.autograd.grad(sum(v.square().sum() for v in values), wanted) for values in (actual, expected)
        )
        pairs += [*zip(*gradients, strict=True)]
        for a, e in pairs:
            assert_bit_equal(a.detach(), e.detach())
            assert_fails(assert_bit_equal, a.detach(), e.detach() + 1e-9)


def test_compiled_layer_takes_other_sizes_and_checks_lengths_when_it_knows_them() -> None:
    layer = build_layer(Problem("GRU"))
    compiled = torch.compile(lambda x, lengths: layer(x, lengths=lengths)[0], fullgraph=True, backend="aot_eager")
    for num_steps, num_sequences in ((7, 3), (9, 5), (4, 2)):
        x = torch.randn(num_steps, num_sequences, 4, dtype=torch.float64)
        lengths = torch.full((num_sequences,), num_steps - 1)
        assert_bit_equal(compiled(x, lengths).detach(), layer(x, lengths=lengths)[0].detach())
    with pytest.raises(ValueError, match="lengths must be between 0 and 4, got 5 for sequence 1"):
        compiled(torch.zeros(4, 2, 4, dtype=torch.float64), torch.tensor([4, 5]))


@each_case
def test_exported_layer_holds_one_operator_a_layer(problem: Problem) -> None:
    layer, x = build_layer(problem), padded_inputs(problem)
    inputs = x.transpose(0, 1).contiguous() if problem.batch_first else x
    with torch.no_grad():
        program = torch.export.export(layer.eval(), (inputs,))
        names = [str(node.target) for node in program.graph.nodes]
        assert names.count("gatewise.recurrent_layer.default") == problem.num_layers
        assert_bit_equal(program.module()(inputs)[0], layer(inputs)[0])


def test_layer_in_an_export_to_onnx_is_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX has operators for torch's layers (pytorch#120626) and none for ours."""
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    layer, x = build_layer(Problem("LSTM")), padded_inputs(Problem("LSTM"))
    with torch.no_grad():
        program = torch.export.export(layer.eval(), (x,))
    names = " ".join(str(node.target) for node in program.graph.nodes)
    assert "gatewise" not in names
    assert "aten.lstm" in names


@pytest.mark.parametrize("problem", [*one_of_each(), Problem("LSTM", proj_size=3)], ids=lambda problem: problem.id)
@pytest.mark.parametrize("lengths", [None, (7, 0, 3)], ids=["full", "ragged"])
def test_operator_passes_torchs_own_checks(problem: Problem, lengths: tuple[int, ...] | None) -> None:
    layer, states = build_layer(problem), initial_states(problem)
    h_0, c_0 = states if len(states) == 2 else (states[0], None)
    weights = [parameter.detach().requires_grad_() for parameter in layer.parameters()]
    ragged = None if lengths is None else torch.tensor(lengths)
    arguments = (layer.mode, padded_inputs(problem).requires_grad_(), h_0.requires_grad_(), c_0, weights, ragged)
    torch.library.opcheck(operator.recurrent_layer, (*arguments, True, problem.proj_size, True))


def test_graph_made_without_grad_says_so_in_backward() -> None:
    layer, x = build_layer(Problem("GRU")), padded_inputs(Problem("GRU"))
    with torch.no_grad():
        program = torch.export.export(layer, (x,))
    with pytest.raises(RuntimeError, match="made without grad mode"):
        program.module()(x)[0].sum().backward()


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # Dynamo's own
def test_recorded_layer_inside_a_compiled_call_is_recorded() -> None:
    layer, x = build_layer(Problem("GRU")), padded_inputs(Problem("GRU"))
    compiled = torch.compile(lambda value: layer(value)[0], backend="aot_eager")
    with gw.record(layer) as recording:
        compiled(x).sum().backward()
    with gw.record(layer) as expected:
        layer(x)[0].sum().backward()
    assert_close(recording[""].hidden_gradient, expected[""].hidden_gradient, "gradient")
    assert recording[""].gates.keys() == expected[""].gates.keys()
