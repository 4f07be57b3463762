"""hidden_gradient_norms: totals against `gw.record` and step Jacobians, partials against autograd on the output."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from somebody_elses_model import Translator, translation_batch, translation_loss
from torch import Tensor, nn

import gatewise as gw
from gatewise.cells import State
from problems import Problem, as_hx, as_input, as_lengths, as_padded, build_layer, initial_states, loss_of, one_of_each
from problems import padded_inputs as padded
from tolerances import assert_bit_equal, assert_close, assert_fails, spoilt

BOTH_WAYS = {"num_layers": 2, "bidirectional": True}
PROBLEMS = [
    *one_of_each(),
    *one_of_each(**BOTH_WAYS, batch_first=True, bias=False),
    *one_of_each(**BOTH_WAYS, num_sequences=4, lengths=(2, 7, 4, 7), is_packed=True),
    *one_of_each(is_batched=False, num_sequences=1),
    *one_of_each(num_steps=1, hidden_size=1),
    Problem("LSTM", **BOTH_WAYS, proj_size=3),
]
RAGGED = [
    *one_of_each(**BOTH_WAYS, num_sequences=4, lengths=(3, 7, 0, 1)),
    Problem("LSTM", num_sequences=4, lengths=(3, 7, 0, 1), proj_size=3),
]
CASES = [(module, problem) for problem in PROBLEMS for module in (torch.nn, gw.nn)] + [(gw.nn, p) for p in RAGGED]
each_case = pytest.mark.parametrize(
    ("module", "problem"), CASES, ids=[f"{module.__name__}-{problem.id}" for module, problem in CASES]
)


def arguments_of(problem: Problem) -> dict[str, object]:
    """Return the call's arguments by name."""
    found = {"input": as_input(problem, padded(problem)), "hx": as_hx(problem, initial_states(problem))}
    lengths = as_lengths(problem)
    return found if lengths is None else {**found, "lengths": lengths}


def loss_on(problem: Problem, returned: tuple[Tensor, object]) -> Tensor:
    """Return a random linear loss on output and final states."""
    output, final = returned
    return loss_of(as_padded(problem, output), *(final if isinstance(final, tuple) else (final,)))


@each_case
def test_total_gradients_are_those_that_record_sees(module: object, problem: Problem) -> None:
    layer = build_layer(problem, module)
    measured = gw.flow.hidden_gradient_norms(layer, arguments_of(problem), partial(loss_on, problem))
    with gw.record(layer) as recording:
        loss_on(problem, layer(**arguments_of(problem))).backward()
    seen = recording[""]
    assert_close(measured.hidden_gradient, seen.hidden_gradient, "gradient")
    assert_close(measured.norms, seen.hidden_gradient_norm, "gradient")
    assert_fails(assert_close, measured.norms, spoilt(seen.hidden_gradient_norm), "gradient")
    if problem.cell == "LSTM":
        assert_close(measured.cell_norms, seen.cell_gradient_norm, "gradient")
        assert_fails(assert_close, measured.cell_norms, spoilt(seen.cell_gradient_norm), "gradient")
    else:
        assert measured.cell_gradient is measured.cell_norms is measured.cell_output_norms is None


@each_case
def test_partial_gradients_of_the_top_layer_are_those_of_what_it_returns(module: object, problem: Problem) -> None:
    layer = build_layer(problem, module)
    measured = gw.flow.hidden_gradient_norms(layer, arguments_of(problem), partial(loss_on, problem))
    output, final = layer(**arguments_of(problem))
    loss = loss_on(problem, (output, final))
    finals = list(final) if isinstance(final, tuple) else [final]
    node = output.data if problem.is_packed else output
    grad_output, *grad_finals = torch.autograd.grad(loss, [node, *finals])
    grad_output = as_padded(problem, output._replace(data=grad_output) if problem.is_packed else grad_output)
    expected = [*grad_output.chunk(problem.num_directions, dim=-1)]
    grad_finals = [part if problem.is_batched else part.unsqueeze(1) for part in grad_finals]
    top = problem.num_rows - problem.num_directions
    cells = torch.zeros(problem.num_directions, problem.num_steps, problem.num_sequences, problem.hidden_size).double()
    for direction in range(problem.num_directions):
        for n, length in enumerate(problem.lengths or [problem.num_steps] * problem.num_sequences):
            expected[direction][length:, n] = 0  # past the end the output is zero whatever the weights
            if length:
                last = 0 if direction else length - 1
                expected[direction][last, n] += grad_finals[0][top + direction, n]
                if problem.cell == "LSTM":
                    cells[direction, last, n] = grad_finals[1][top + direction, n]
    assert_close(measured.output_gradient[top:], torch.stack(expected), "gradient")
    assert_fails(assert_close, measured.output_gradient[top:], spoilt(torch.stack(expected)), "gradient")
    if problem.cell == "LSTM":
        assert_close(measured.cell_output_gradient[top:], cells, "gradient")


@pytest.mark.parametrize("problem", one_of_each(num_layers=2), ids=lambda problem: problem.id)
def test_total_is_partial_plus_what_the_next_step_sends_back(problem: Problem) -> None:
    """dL/ds_t = partial + dL/ds_{t+1} J_{t+1}, by the closed-form Jacobian, in the lower layer too."""
    layer = build_layer(problem)
    measured = gw.flow.hidden_gradient_norms(layer, arguments_of(problem), partial(loss_on, problem))
    trace = layer.trace(padded(problem), as_hx(problem, initial_states(problem))).detach()
    for row in range(2):

        def state(t: int, row: int = row) -> State:
            return State(trace.hidden[row, t], None if trace.cell is None else trace.cell[row, t])

        def gates(t: int, row: int = row) -> dict[str, Tensor]:
            return {name: gate[row, t] for name, gate in trace.gates.items()}

        def total(t: int, row: int = row) -> Tensor:
            hidden = measured.hidden_gradient[row, t]
            if trace.cell is None:
                return hidden
            slope = trace.equations.output_slope(state(t, row), gates(t, row))
            return torch.cat([hidden, measured.cell_gradient[row, t] - slope * hidden], dim=-1)

        for t in range(problem.num_steps - 1):
            jacobian = trace.equations.step_jacobian(state(t), state(t + 1), gates(t + 1), trace.weights(row))
            direct = measured.output_gradient[row, t]
            if trace.cell is not None:
                direct = torch.cat([direct, measured.cell_output_gradient[row, t]], dim=-1)
            expected = direct + torch.einsum("ns,nsr->nr", total(t + 1), jacobian)
            assert_close(total(t), expected, "gradient")
            assert_fails(assert_close, total(t), expected - direct, "gradient")


def test_a_mean_over_the_batch_divides_every_norm() -> None:
    problem = Problem("GRU", num_sequences=4)
    layer = build_layer(problem)

    def norms(reduce: object) -> Tensor:
        return gw.flow.hidden_gradient_norms(layer, padded(problem), lambda out: reduce(out[0][-1].sum(dim=-1))).norms

    assert_close(norms(torch.mean), norms(torch.sum) / 4, "gradient")


def test_norms_hold_below_the_root_of_the_smallest_number() -> None:
    """1e-200 squared is zero: a norm must not go through squares."""
    layer = build_layer(Problem("RNN"))
    once = gw.flow.hidden_gradient_norms(layer, padded(Problem("RNN")), lambda out: out[0][-1].sum())
    tiny = gw.flow.hidden_gradient_norms(layer, padded(Problem("RNN")), lambda out: 1e-200 * out[0][-1].sum())
    assert_close(tiny.norms * 1e200, once.norms, "gradient")
    assert torch.linalg.vector_norm(tiny.hidden_gradient) == 0  # what it would have been


def test_layers_by_name_and_a_decoder_called_step_by_step() -> None:
    torch.manual_seed(0)
    model = Translator().double().eval()
    source, target = translation_batch(num_steps=6)
    measured = gw.flow.hidden_gradient_norms(model, (source, target), partial(translation_loss, target))
    assert list(measured) == ["encoder.gru", "decoder.gru"]
    with gw.record(model) as recording:
        translation_loss(target, model(source, target)).backward()
    assert_close(measured["encoder.gru"].hidden_gradient, recording["encoder.gru"].hidden_gradient, "gradient")
    calls = recording["decoder.gru"].calls
    assert len(calls) == 6
    joined = torch.cat([call.hidden_gradient for call in calls], dim=1)
    assert_close(measured["decoder.gru"].hidden_gradient, joined, "gradient")
    assert_fails(assert_close, measured["decoder.gru"].hidden_gradient, spoilt(joined), "gradient")


def test_partial_gradients_of_a_layer_called_step_by_step_are_those_of_one_call() -> None:
    problem = Problem("LSTM", has_initial_state=False)
    layer, weights = build_layer(problem), torch.randn(7, 3, 5, dtype=torch.float64)

    class StepByStep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = layer

        def forward(self, x: Tensor) -> tuple[Tensor, object]:
            state, outputs = None, []
            for part in x.split(2):
                output, state = self.rnn(part, state)
                outputs.append(output)
            return torch.cat(outputs), state

    def loss_fn(returned: tuple[Tensor, tuple[Tensor, Tensor]]) -> Tensor:
        return (returned[0] * weights).sum() + returned[1][0].square().sum() + returned[1][1].sum()

    whole = gw.flow.hidden_gradient_norms(layer, padded(problem), loss_fn)
    parts = gw.flow.hidden_gradient_norms(StepByStep(), padded(problem), loss_fn)
    for name in ("hidden_gradient", "cell_gradient", "output_gradient", "cell_output_gradient"):
        assert_close(getattr(parts, name), getattr(whole, name), "gradient", name)
    assert_bit_equal(parts.lengths, whole.lengths)


def test_a_loss_that_reads_nothing_of_the_layer_gives_zero() -> None:
    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.GRU(4, 5), nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            self.rnn(x)
            return self.head(x[-1])

    measured = gw.flow.hidden_gradient_norms(Beside(), padded(Problem("GRU")), torch.sum)
    assert (measured.norms == 0).all()
    assert (measured.output_norms == 0).all()


def test_a_layer_that_runs_without_grad_mode_gets_zero() -> None:
    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = nn.GRU(4, 5), nn.GRU(5, 5)

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                x = self.encoder(x)[0]
            return self.decoder(x)[0]

    measured = gw.flow.hidden_gradient_norms(Frozen(), padded(Problem("GRU")), torch.sum)
    assert (measured["encoder"].norms == 0).all()
    assert (measured["decoder"].norms > 0).all()
    with pytest.raises(ValueError, match=r"'encoder' runs under torch\.no_grad"):
        gw.flow.gradient_by_lag(Frozen(), padded(Problem("GRU")))


def test_nan_in_a_weight_is_answered_with_nan() -> None:
    layer = build_layer(Problem("LSTM"))
    with torch.no_grad():
        layer.weight_hh_l0[3, 2] = math.nan
    measured = gw.flow.hidden_gradient_norms(layer, padded(Problem("LSTM")), lambda out: out[0].sum())
    assert measured.norms[0, 0].isnan().all()


def test_a_model_that_keeps_its_state_can_be_copied() -> None:
    class Stateful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.state = nn.LSTM(4, 5), None

        def forward(self, x: Tensor) -> Tensor:
            output, self.state = self.rnn(x, self.state)
            return output

    model, x = Stateful(), padded(Problem("LSTM"), torch.float32)
    model(x)
    before = model.state
    measured = gw.flow.hidden_gradient_norms(model, x, lambda output: output[-1].sum())
    assert (measured.norms > 0).all()
    assert model.state is before


@pytest.mark.parametrize(
    ("loss_fn", "error", "message"),
    [
        (lambda out: out[0], ValueError, "scalar"),
        (lambda out: out[0].detach().sum(), ValueError, "requires no gradient"),
        (lambda out: 1.0, TypeError, "must return a tensor, got float"),
    ],
)
def test_a_loss_without_a_gradient_is_named(loss_fn: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        gw.flow.hidden_gradient_norms(nn.GRU(4, 5), torch.randn(7, 3, 4), loss_fn)
