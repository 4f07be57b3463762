"""Memory of the compiled core that becomes a tensor where it is read."""

import gc

import pytest
import torch

from gatewise._native import row_memory, tensor_of


@pytest.mark.parametrize("shape", [(3, 4, 5), (12, 5)], ids=["padded", "packed"])
@pytest.mark.parametrize("columns", [0, 1, 16, 50, 64])
@pytest.mark.parametrize("is_double", [False, True])
def test_as_many_rows_as_the_tensor_it_is_like(shape, columns, is_double):
    tensor = tensor_of(row_memory(torch.empty(shape), columns, is_double))
    assert tensor.shape == ((*shape[:-1], columns) if columns else shape[:-1])
    assert tensor.dtype == (torch.float64 if is_double else torch.float32)
    assert not tensor.requires_grad


@pytest.mark.parametrize(("columns", "stride"), [(16, 16), (50, 64), (17, 17), (22, 32), (21, 21), (100, 112)])
def test_rows_of_many_columns_begin_on_whole_lines(columns, stride):
    tensor = tensor_of(row_memory(torch.empty(3, 4, 5), columns, False))
    assert tensor.stride() == (4 * stride, stride, 1)
    assert tensor.data_ptr() % 64 == 0


def test_tensors_share_the_memory_and_keep_it_alive():
    memory = row_memory(torch.empty(3, 4, 5), 50, False)
    first, second = tensor_of(memory), tensor_of(memory)
    first.fill_(7)
    assert torch.equal(second, torch.full((3, 4, 50), 7.0))
    del memory, first
    gc.collect()
    others = [torch.zeros(3, 4, 64) for _ in range(100)]  # would take the memory, were it free
    assert torch.equal(second, torch.full((3, 4, 50), 7.0))
    del others


@pytest.mark.parametrize(
    ("like", "columns", "message"),
    [
        (torch.empty(3), 4, "expected 2 axes or more, got 1"),
        (torch.empty(3, 4), -1, "columns must be at least 0, got -1"),
    ],
)
def test_what_cannot_be_is_an_error(like, columns, message):
    with pytest.raises(ValueError, match=message):
        row_memory(like, columns, False)


def test_a_tensor_is_no_row_memory():
    with pytest.raises(TypeError):
        tensor_of(torch.empty(3, 4))
