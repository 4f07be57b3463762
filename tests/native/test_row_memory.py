"""What a backward of the compiled core hands out becomes a tensor where it is read."""

import gc

import pytest
import torch

from gatewise._native import DirectionKernel, StepShape, WeightGradients, cpu_levels, tensor_of

pytestmark = pytest.mark.skipif(not cpu_levels(), reason="this machine has no native kernels")


def handed_out(hidden_size=5, dtype=torch.float32, *, mode="LSTM", is_packed=False, proj_size=0, **wants):
    """Return what a layer hands out, of an LSTM if nothing else is said, on 3 steps of 4 sequences."""
    steps, sequences, inputs, state_size = 3, 4, 2, proj_size or hidden_size
    rows = (steps * sequences,) if is_packed else (steps, sequences)
    offsets = sequences * torch.arange(steps) if is_packed else None
    lengths = torch.full((sequences,), steps) if is_packed else None
    shape = StepShape(steps, sequences, lengths, offsets)
    gates = hidden_size * {"LSTM": 4, "GRU": 3, "RNN_TANH": 1}[mode]
    kernel = DirectionKernel(mode, 0, dtype, steps, sequences, inputs, hidden_size, proj_size, 1)
    x, y = torch.randn(*rows, inputs, dtype=dtype), torch.empty(*rows, state_size, dtype=dtype)
    kept = torch.empty(*rows, 5 * hidden_size, dtype=dtype)
    w_ih, w_hh = torch.randn(gates, inputs, dtype=dtype), torch.randn(gates, state_size, dtype=dtype)
    w_hr = torch.randn(proj_size, hidden_size, dtype=dtype) if proj_size else None
    final = torch.empty(1, sequences, state_size, dtype=dtype), torch.empty(1, sequences, hidden_size, dtype=dtype)
    kernel.forward(shape, x, (None, None), (w_ih, w_hh, None, None, w_hr), y, final, kept)
    cotangents = torch.ones_like(y), None, None
    weights = w_ih, w_hh, w_hr
    return kernel.backward(
        shape, cotangents, None, x, (None, None), weights, y, kept, None, (None, None), WeightGradients(), **wants
    )


@pytest.mark.parametrize("is_packed", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("hidden_size", [1, 16, 50, 64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_as_many_rows_as_the_call(is_packed, hidden_size, dtype):
    wants = {"wants_hidden": True, "wants_cell": True, "wants_norms": True}
    hidden, cell, hidden_norm, cell_norm = map(tensor_of, handed_out(hidden_size, dtype, is_packed=is_packed, **wants))
    rows = (12,) if is_packed else (3, 4)
    assert hidden.shape == cell.shape == (*rows, hidden_size)
    assert hidden_norm.shape == cell_norm.shape == rows
    assert hidden.dtype == cell.dtype == dtype
    assert hidden_norm.dtype == cell_norm.dtype == torch.float64
    assert not hidden.requires_grad
    torch.testing.assert_close(hidden.double().norm(dim=-1), hidden_norm, rtol=1e-12, atol=0)
    torch.testing.assert_close(cell.double().norm(dim=-1), cell_norm, rtol=1e-12, atol=0)


def test_a_projection_has_fewer_columns():
    hidden, cell, *_ = handed_out(50, proj_size=16, wants_hidden=True, wants_cell=True)
    assert tensor_of(hidden).shape == (3, 4, 16)
    assert tensor_of(cell).shape == (3, 4, 50)


@pytest.mark.parametrize("wanted", ["hidden", "cell", "norms"])
def test_what_is_not_wanted_is_none(wanted):
    names = ["hidden", "cell", "norms", "norms"]
    handed = handed_out(**{f"wants_{name}": name == wanted for name in names})
    assert [memory is not None for memory in handed] == [name == wanted for name in names]


@pytest.mark.parametrize("mode", ["RNN_TANH", "GRU"])
def test_without_a_cell_state_there_is_nothing_of_it(mode):
    hidden, cell, hidden_norm, cell_norm = handed_out(mode=mode, wants_hidden=True, wants_cell=True, wants_norms=True)
    assert (cell, cell_norm) == (None, None)
    torch.testing.assert_close(tensor_of(hidden).double().norm(dim=-1), tensor_of(hidden_norm), rtol=1e-12, atol=0)


@pytest.mark.parametrize(("columns", "stride"), [(16, 16), (50, 64), (17, 17), (22, 32), (21, 21), (100, 112)])
def test_rows_of_many_columns_begin_on_whole_lines(columns, stride):
    tensor = tensor_of(handed_out(columns, wants_hidden=True)[0])
    assert tensor.stride() == (4 * stride, stride, 1)
    assert tensor.data_ptr() % 64 == 0


def test_tensors_share_the_memory_and_keep_it_alive():
    memory = handed_out(50, wants_hidden=True)[0]
    first, second = tensor_of(memory), tensor_of(memory)
    first.fill_(7)
    assert torch.equal(second, torch.full((3, 4, 50), 7.0))
    del memory, first
    gc.collect()
    others = [torch.zeros(3, 4, 64) for _ in range(100)]  # would take the memory, were it free
    assert torch.equal(second, torch.full((3, 4, 50), 7.0))
    del others


def test_a_tensor_is_no_row_memory():
    with pytest.raises(TypeError):
        tensor_of(torch.empty(3, 4))
