"""Memory of the compiled core that becomes a tensor where it is read."""

import gc

import pytest
import torch

from gatewise._native import RowMemory


@pytest.mark.parametrize("shape", [(3, 4, 5), (12, 5)], ids=["padded", "packed"])
@pytest.mark.parametrize("columns", [0, 1, 16, 50, 64])
@pytest.mark.parametrize("is_double", [False, True])
def test_as_many_rows_as_the_tensor_it_is_like(shape, columns, is_double):
    tensor = RowMemory(torch.empty(shape), columns, is_double).tensor()
    assert tensor.shape == (*shape[:-1], columns) if columns else shape[:-1]
    assert tensor.dtype == (torch.float64 if is_double else torch.float32)
    assert not tensor.requires_grad


@pytest.mark.parametrize(("columns", "stride"), [(16, 16), (50, 64), (17, 17), (22, 32), (21, 21), (100, 112)])
def test_rows_of_many_columns_begin_on_whole_lines(columns, stride):
    tensor = RowMemory(torch.empty(3, 4, 5), columns, False).tensor()
    assert tensor.stride() == (4 * stride, stride, 1)
    assert tensor.data_ptr() % 64 == 0


def test_tensors_share_the_memory_and_keep_it_alive():
    memory = RowMemory(torch.empty(3, 4, 5), 50, False)
    first, second = memory.tensor(), memory.tensor()
    first.fill_(7)
    assert torch.equal(second, torch.full((3, 4, 50), 7.0))
    del memory, first
    gc.collect()
    others = [torch.zeros(3, 4, 64) for _ in range(100)]  # would take the memory, were it free
    assert torch.equal(second, torch.full((3, 4, 50), 7.0))
    del others


def test_a_tensor_of_one_axis_has_no_rows():
    with pytest.raises(ValueError, match="expected 2 axes or more, got 1"):
        RowMemory(torch.empty(3), 4, False)
