"""PackedSequence = lengths = torch's packed, and what comes back is packed like what went in."""

from __future__ import annotations

import pytest
import torch
from evaluate import by_forward, by_trace, evaluate
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence

import gatewise as gw
from problems import Problem, as_hx, build_layer, build_pair, initial_states, one_of_each, padded_inputs
from tolerances import assert_bit_equal, assert_close, assert_fails, assert_same, spoilt

UNSORTED = (2, 7, 4, 7)
OPTIONS = {"num_sequences": 4, "lengths": UNSORTED, "num_layers": 2, "bidirectional": True}
PROBLEMS = (*one_of_each(**OPTIONS), Problem("LSTM", **OPTIONS, proj_size=3))
each_problem = pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.id)


def packings(problem: Problem) -> dict[str, PackedSequence]:
    """Return one batch packed in every way that torch offers."""
    x = padded_inputs(problem)
    by_length = sorted(range(4), key=lambda n: -UNSORTED[n])
    return {
        "unsorted": pack_padded_sequence(x, torch.tensor(UNSORTED), enforce_sorted=False),
        "sorted": pack_padded_sequence(x[:, by_length], torch.tensor([UNSORTED[n] for n in by_length])),
        "list": pack_sequence([x[:length, n] for n, length in enumerate(UNSORTED)], enforce_sorted=False),
        "permuted ties": _with_swapped_ties(x),
    }


def _with_swapped_ties(x: torch.Tensor) -> PackedSequence:
    """Sequences 1 and 3 both have seven steps; torch's own packing would put 1 first."""
    order = torch.tensor([3, 1, 2, 0])
    packed = pack_padded_sequence(x[:, order], torch.tensor([UNSORTED[n] for n in order]))
    return PackedSequence(packed.data, packed.batch_sizes, order, torch.argsort(order))


@each_problem
@pytest.mark.parametrize("packing", ["unsorted", "sorted", "list", "permuted ties"])
def test_packed_agrees_with_torch(problem: Problem, packing: str) -> None:
    theirs, ours = build_pair(problem)
    packed, hx = packings(problem)[packing], as_hx(problem, initial_states(problem))
    expected, expected_final = theirs(packed, hx)
    actual, actual_final = ours(packed, hx)
    trace = ours.trace(packed, hx)
    for output in (actual, trace.output):
        assert isinstance(output, PackedSequence)
        assert_close(output.data, expected.data, "output")
        assert_fails(assert_close, output.data, spoilt(expected.data), "output")
        assert_bit_equal(output.batch_sizes, expected.batch_sizes)
        for name in ("sorted_indices", "unsorted_indices"):
            came, wanted = getattr(output, name), getattr(expected, name)
            assert (came is None) == (wanted is None)
            assert wanted is None or torch.equal(came, wanted)
    pairs = (
        zip(actual_final, expected_final, strict=True) if problem.cell == "LSTM" else [(actual_final, expected_final)]
    )
    for came, wanted in pairs:
        assert_close(came, wanted, "output")
        assert_fails(assert_close, came, wanted.flip(1), "output")


@each_problem
@pytest.mark.parametrize("run", [by_forward, by_trace], ids=["forward", "trace"])
def test_packed_equals_lengths(problem: Problem, run: object) -> None:
    packed = Problem(**{**vars(problem), "is_packed": True})
    expected = evaluate(build_layer(problem), problem, run)
    actual = evaluate(build_layer(packed), packed, run)
    assert_same(actual, expected)
    assert_fails(assert_same, actual, expected | {"grad input": spoilt(expected["grad input"])})


@each_problem
def test_packed_gradient_reaches_the_packed_data(problem: Problem) -> None:
    theirs, ours = build_pair(problem)
    gradients = []
    for call in (theirs, ours, lambda packed: (ours.trace(packed).output, None)):
        packed = packings(problem)["unsorted"]
        data = packed.data.clone().requires_grad_()
        output, _ = call(packed._replace(data=data))
        weight = torch.linspace(-1, 1, output.data.numel(), dtype=torch.float64).view_as(output.data)
        gradients.append(torch.autograd.grad((output.data * weight).sum(), data)[0])
    for actual in gradients[1:]:
        assert_close(actual, gradients[0], "gradient")
        assert_fails(assert_close, actual, spoilt(gradients[0]), "gradient")


@each_problem
def test_packed_trace_is_padded_in_the_callers_order(problem: Problem) -> None:
    layer, hx = build_layer(problem), as_hx(problem, initial_states(problem))
    from_padded = layer.trace(padded_inputs(problem), hx, list(UNSORTED))
    from_packed = layer.trace(packings(problem)["unsorted"], hx)
    assert from_packed.lengths.tolist() == list(UNSORTED)
    assert_close(from_packed.hidden, from_padded.hidden, "output")
    assert_fails(assert_close, from_packed.hidden, from_padded.hidden.flip(2), "output")


@each_problem
def test_packed_ignores_batch_first(problem: Problem) -> None:
    batch_first = Problem(**{**vars(problem), "batch_first": True})
    packed = packings(problem)["unsorted"]
    actual, _ = build_layer(batch_first)(packed)
    expected, _ = build_layer(problem)(packed)
    assert_bit_equal(actual.data, expected.data)


@each_problem
def test_packed_with_lengths_is_an_error(problem: Problem) -> None:
    layer, packed = build_layer(problem), packings(problem)["unsorted"]
    for call in (layer, layer.trace):
        with pytest.raises(ValueError, match="lengths"):
            call(packed, lengths=list(UNSORTED))


@pytest.mark.parametrize("cell", ["LSTM", "GRU", "RNN"])
def test_packed_ties_keep_their_order_and_so_torchs_dropout_masks(cell: str) -> None:
    """Above 16 sequences torch's descending sort reorders ties, so a packed batch must not be sorted again."""
    lengths = [3] * 20 + [2] * 20
    theirs = getattr(torch.nn, cell)(4, 5, num_layers=2, dropout=0.5)
    ours = getattr(gw.nn, cell)(4, 5, num_layers=2, dropout=0.5)
    ours.load_state_dict(theirs.state_dict())
    packed = pack_padded_sequence(torch.randn(3, 40, 4), torch.tensor(lengths))
    outputs = []
    for run in (theirs, ours, lambda x: (ours.trace(x).output,)):
        torch.manual_seed(7)
        outputs.append(run(packed)[0].data)
    torch.testing.assert_close(outputs[1], outputs[0])
    torch.testing.assert_close(outputs[2], outputs[0])
    assert not torch.allclose(theirs(packed)[0].data, outputs[0])  # other masks give other numbers
