"""memory_capacity of networks whose capacity is known: shift registers, and linear networks on independent inputs."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

import gatewise as gw
from problems import Problem, one_of_each
from tolerances import assert_bit_equal, assert_close, assert_fails


def shift_register(length: int, input_size: int = 1, module: object = gw.nn, **options: object) -> torch.nn.RNNBase:
    """Return a relu network that holds the last `length` inputs, not negative, exactly."""
    layer = module.RNN(input_size, length * input_size, nonlinearity="relu", bias=False, **options)
    unit = torch.eye(length * input_size)
    suffixes = ["", "_reverse"] if options.get("bidirectional") else [""]
    with torch.no_grad():
        for suffix in suffixes:
            getattr(layer, f"weight_ih_l0{suffix}").copy_(unit[:, :input_size])
            getattr(layer, f"weight_hh_l0{suffix}").copy_(unit.roll(input_size, 0).tril(-1))
    return layer


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("module", [torch.nn, gw.nn], ids=["torch", "gatewise"])
@pytest.mark.parametrize(("length", "input_size"), [(1, 1), (6, 1), (5, 3)])
def test_capacity_of_a_shift_register_is_its_length(module: object, length: int, input_size: int) -> None:
    measured = gw.flow.memory_capacity(shift_register(length, input_size, module), uniform(900, 2, input_size), 15)
    expected = (torch.arange(16) < length).double().unsqueeze(0)
    held = measured.r_squared[:, :length]
    assert_close(held, torch.ones_like(held), "output")
    assert measured.r_squared[:, length:].max() < 0.01  # next to chance, floored at 0
    assert measured.total.item() == pytest.approx(length, abs=0.05)
    assert_fails(assert_close, measured.r_squared, expected.roll(1, dims=1), "output")


def test_a_cut_register_forgets_behind_the_cut() -> None:
    layer = shift_register(6)
    with torch.no_grad():
        layer.weight_hh_l0[3, 2] = 0
    assert gw.flow.memory_capacity(layer, uniform(900, 2, 1), 15).total.item() == pytest.approx(3, abs=0.05)


def test_a_linear_network_on_independent_inputs_has_its_size_as_capacity() -> None:
    """Jaeger 2001: the total of a linear network of H units is H. Small inputs keep tanh linear."""
    torch.manual_seed(0)
    layer = gw.nn.RNN(1, 20, bias=False)
    with torch.no_grad():
        torch.nn.init.orthogonal_(layer.weight_hh_l0).mul_(0.9)
        layer.weight_ih_l0.mul_(1e-3)
    total = gw.flow.memory_capacity(layer, 2 * uniform(4000, 1, 1) - 1, 100).total.item()
    assert 19 < total < 20.5
    with torch.no_grad():
        layer.weight_ih_l0.mul_(3e3)  # saturated: no longer linear
    assert gw.flow.memory_capacity(layer, 2 * uniform(4000, 1, 1) - 1, 100).total.item() < 15


@pytest.mark.parametrize("problem", one_of_each(hidden_size=16, input_size=1), ids=lambda problem: problem.id)
def test_capacity_never_exceeds_the_number_of_units(problem: Problem) -> None:
    layer = getattr(gw.nn, problem.cell)(1, 16)
    assert gw.flow.memory_capacity(layer, 2 * uniform(3000, 1, 1) - 1, 60).total.item() < 16


def test_inputs_that_never_reach_the_state_are_at_the_level_of_shuffled_ones() -> None:
    layer = gw.nn.GRU(2, 8)
    with torch.no_grad():
        layer.weight_ih_l0[:, 1] = 0
    x = uniform(1500, 1, 2)
    seen, unseen = x.clone(), x.clone()
    seen[..., 1], unseen[..., 0] = 0, 0
    assert gw.flow.memory_capacity(layer, seen, 5).r_squared[0, 0] > 0.9
    measured = gw.flow.memory_capacity(layer, unseen, 5)
    assert (measured.r_squared <= measured.shuffled + 0.01).all()
    assert measured.shuffled.item() < 0.05


def test_strength_is_chosen_without_the_held_out_steps() -> None:
    """Few samples, many units: without a strength from unseen steps the fit would be worse than the mean."""
    torch.manual_seed(1)
    layer = gw.nn.RNN(1, 60)
    x = uniform(130, 1, 1)
    measured = gw.flow.memory_capacity(layer, x, 3)
    assert measured.r_squared[0, 0] > 0.5
    spoilt = x.clone()
    spoilt[-5:] += 1  # only held-out inputs differ: fit and strength stay, the score does not
    assert_fails(assert_close, gw.flow.memory_capacity(layer, spoilt, 3).r_squared, measured.r_squared, "output")


def test_reverse_direction_remembers_later_inputs() -> None:
    layer = shift_register(4, bidirectional=True)
    measured = gw.flow.memory_capacity(layer, uniform(900, 1, 1), 8)
    assert measured.r_squared.shape == (2, 9)
    assert measured.total.tolist() == pytest.approx([4, 4], abs=0.05)


def test_ragged_and_packed_batches_and_layers() -> None:
    x, lengths = uniform(300, 3, 1), [300, 120, 210]
    x[250:, 1:] = math.nan
    ragged = gw.flow.memory_capacity(shift_register(4, bidirectional=True), (x, None, lengths), 8)
    packed = pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
    assert_close(
        gw.flow.memory_capacity(shift_register(4, bidirectional=True), packed, 8).r_squared, ragged.r_squared, "output"
    )
    assert ragged.total.tolist() == pytest.approx([4, 4], abs=0.2)
    stacked = gw.nn.LSTM(1, 5, num_layers=3, dropout=0.5)
    assert gw.flow.memory_capacity(stacked, uniform(300, 2, 1), 4).total.shape == (3,)


def test_batch_first_and_unbatched_inputs() -> None:
    x = uniform(400, 1, 1)
    expected = gw.flow.memory_capacity(shift_register(3), x, 5).r_squared
    batch_first = shift_register(3, batch_first=True)
    assert_close(gw.flow.memory_capacity(batch_first, x.transpose(0, 1), 5).r_squared, expected, "output")
    assert_close(gw.flow.memory_capacity(shift_register(3), x[:, 0], 5).r_squared, expected, "output")


def test_measuring_leaves_layer_and_random_state_untouched() -> None:
    layer, x = gw.nn.GRU(1, 5, num_layers=2, dropout=0.3), uniform(200, 2, 1)
    layer(x)[0].sum().backward()
    before = {name: (p.detach().clone(), p.grad.clone()) for name, p in layer.named_parameters()}
    state = torch.get_rng_state()
    with torch.no_grad():
        first = gw.flow.memory_capacity(layer, x, 4)
    assert layer.training
    assert torch.equal(torch.get_rng_state(), state)
    assert_bit_equal(gw.flow.memory_capacity(layer, x, 4).r_squared, first.r_squared)
    for name, parameter in layer.named_parameters():
        assert torch.equal(parameter, before[name][0])
        assert torch.equal(parameter.grad, before[name][1])


@pytest.mark.parametrize("value", [0.0, 0.7])
def test_constant_states_know_nothing(value: float) -> None:
    layer = gw.nn.RNN(1, 4)
    with torch.no_grad():
        layer.weight_ih_l0.zero_()
        layer.weight_hh_l0.zero_()
        layer.bias_ih_l0.fill_(value)
        layer.bias_hh_l0.zero_()
    assert gw.flow.memory_capacity(layer, uniform(200, 2, 1), 4).total.item() == 0


def test_wrong_arguments_are_named() -> None:
    layer, x = gw.nn.RNN(1, 4), uniform(20, 1, 1)
    with pytest.raises(ValueError, match="max_lag must be at least 0, got -1"):
        gw.flow.memory_capacity(layer, x, -1)
    with pytest.raises(ValueError, match="at least 10 steps with 15 steps before them"):
        gw.flow.memory_capacity(layer, x, 15)
    with pytest.raises(TypeError, match=r"layer must be an RNN, LSTM or GRU of torch\.nn or gatewise, got Linear"):
        gw.flow.memory_capacity(torch.nn.Linear(1, 2), x, 3)
    with pytest.raises(TypeError, match=r"max_lag must be a whole number, got 2\.5"):
        gw.flow.memory_capacity(layer, x, 2.5)
    with pytest.raises(ValueError, match="at least one sequence, got none"):
        gw.flow.memory_capacity(layer, x[:, :0], 3)
    with torch.no_grad():
        layer.weight_ih_l0[0] = math.nan
    with pytest.raises(ValueError, match="states must be finite"):
        gw.flow.memory_capacity(layer, x, 3)
