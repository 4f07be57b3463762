"""How bound functions read their tensors: from torch's table of C functions, and in Python from whatever has none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from gatewise import _native
from gatewise._native import layer as layer_module
from gatewise._native import tensors as tensors_module
from gatewise._native.scratch import workspace
from gatewise._native.tensors import is_plain

pytestmark = pytest.mark.skipif(_native.cpu_level() == "none", reason="this machine has no native kernels")
core = layer_module._core
STEPS, SEQUENCES, INPUTS, UNITS = 7, 3, 4, 5


class WithoutTable:
    """A tensor as an older torch shows it."""

    def __init__(self, tensor: Tensor) -> None:
        self.shape, self.stride, self.data_ptr = tensor.shape, tensor.stride, tensor.data_ptr


def run_second_direction(show: Any, **changed: Any) -> Tensor:
    """Run the second direction of an LSTM on strided tensors, each handed over as `show` makes it."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    layer = core.Layer(layer_module.CELLS["LSTM"], True, 1, STEPS, SEQUENCES, INPUTS, UNITS, 0, 1)
    output, final = (
        torch.zeros(STEPS, SEQUENCES, 2 * UNITS, dtype=torch.float64),
        torch.zeros(2, 2, SEQUENCES, UNITS, dtype=torch.float64),
    )
    arguments = {
        "lengths": torch.tensor([7, 2, 5]),
        "offsets": None,
        "x": random(SEQUENCES, STEPS, 2 * INPUTS).transpose(0, 1)[..., :INPUTS],
        "h_0": random(2, 2 * SEQUENCES, UNITS)[:, ::2],
        "c_0": random(2, SEQUENCES, UNITS),
        "W_ih": torch.nn.Parameter(random(4 * UNITS, INPUTS)),
        "W_hh": random(4 * UNITS, UNITS),
        "b_ih": random(4 * UNITS),
        "b_hh": None,
        "W_hr": None,
        "y": output,
        "h_n": final[0],
        "c_n": final[1],
        "kept": None,
        "work": workspace(layer.forward_work(), torch.float64),
    }
    arguments |= changed
    layer.forward(**{name: tensor if tensor is None else show(tensor) for name, tensor in arguments.items()})
    assert output[..., UNITS:].any()
    assert not output[..., :UNITS].any()
    return torch.cat([output.flatten(), final.flatten()])


def test_table_and_python_show_the_same_tensor() -> None:
    expected = run_second_direction(lambda tensor: tensor)
    assert torch.equal(run_second_direction(WithoutTable), expected)
    assert not torch.equal(run_second_direction(WithoutTable, lengths=torch.tensor([7, 3, 5])), expected)


@pytest.mark.parametrize(
    "wrong",
    [None, 3, "x", torch.zeros(1, STEPS, SEQUENCES, INPUTS), WithoutTable(torch.zeros(1, STEPS, SEQUENCES, INPUTS))],
)
def test_what_is_no_tensor_of_three_axes_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="incompatible function arguments"):
        run_second_direction(lambda tensor: tensor, x=wrong)


def test_tensor_without_memory_is_refused() -> None:
    with pytest.raises(TypeError, match="incompatible function arguments"):
        run_second_direction(
            lambda tensor: tensor, x=torch.zeros(STEPS, SEQUENCES, INPUTS, dtype=torch.float64).to_sparse()
        )


def test_tensor_with_too_few_axes_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 2 axes or more, got 1"):
        run_second_direction(lambda tensor: tensor, x=torch.zeros(INPUTS, dtype=torch.float64))
    with pytest.raises(ValueError, match="expected 2 axes or more, got 1"):
        run_second_direction(lambda tensor: tensor, y=torch.zeros(UNITS, dtype=torch.float64))
    with pytest.raises(ValueError, match="expected 3 axes or more, got 2"):
        run_second_direction(lambda tensor: tensor, h_0=torch.zeros(SEQUENCES, UNITS, dtype=torch.float64))


def test_stream_without_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one layer"):
        core.Stream32(0, 1, [])


def odd_tensors() -> dict[str, Tensor]:
    class Subclass(Tensor):
        pass

    plain, kept = torch.zeros(2, 3), []
    torch.func.grad(lambda inside: (kept.append(inside), inside.sum())[1])(plain)
    with FakeTensorMode():
        fake = torch.zeros(2, 3)
    return {
        "double": plain.double(),
        "half": plain.bfloat16(),
        "integer": plain.int(),
        "complex": torch.zeros(2, 3, dtype=torch.complex64),
        "negated": torch._neg_view(plain),
        "meta": plain.to("meta"),
        "fake": fake,
        "sparse": plain.to_sparse(),
        "mkldnn": plain.to_mkldnn(),
        "subclass": plain.as_subclass(Subclass),
        "left by a transform": kept[0],
        "functional": torch._to_functional_tensor(plain),
        "zeros without memory": torch._efficientzerotensor(2, 3),
    }


@pytest.mark.parametrize("name", odd_tensors())
def test_tensors_that_kernels_cannot_read_are_known(name: str) -> None:
    for dtype in [torch.float32] if name == "double" else [torch.float32, torch.float64]:
        assert _native.are_plain([torch.zeros(2, dtype=dtype), odd_tensors()[name]], dtype) is False
        assert is_plain(odd_tensors()[name], dtype) is False


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_that_kernels_can_read_are_known(dtype: torch.dtype) -> None:
    tensor = torch.zeros(2, 3, dtype=dtype)
    with torch.inference_mode():
        inference = tensor + 1
    tensors = [tensor, torch.nn.Parameter(tensor), tensor.t()[1:], tensor[:, :0], tensor.expand(4, 2, 3), inference]
    assert _native.are_plain(tensors, dtype) is True
    assert all(is_plain(tensor, dtype) for tensor in tensors)
    other = torch.float64 if dtype == torch.float32 else torch.float32
    assert _native.are_plain(tensors, other) is False
    assert not any(is_plain(tensor, other) for tensor in tensors)


@pytest.fixture(params=[True, False], ids=["table", "python"])
def _has_table(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the bindings, and in Python as with a torch without the table."""
    monkeypatch.setattr(tensors_module, "_HAS_TABLE", request.param)


@pytest.mark.usefixtures("_has_table")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shapes_of_rows_are_compared(dtype: torch.dtype) -> None:
    matrix, vector = torch.nn.Parameter(torch.zeros(2, 3, dtype=dtype)), torch.zeros(2, dtype=dtype)
    rows, shapes = [[matrix, vector], [matrix.t()]], (((2, 3), (2,)), ((3, 2),))
    assert _native.are_plain_of_shapes(rows, shapes, dtype) is True
    assert _native.are_plain_of_shapes([], (), dtype) is True
    other = torch.float64 if dtype == torch.float32 else torch.float32
    assert _native.are_plain_of_shapes(rows, shapes, other) is False
    for wrong in [
        (((2, 3), (2,)), ((2, 3),)),
        (((2, 3), (2,)), ((3, 2, 1),)),
        (((2, 3), (2,)), ((3,),)),
        (((2, 3),), ((3, 2),)),
        (((2, 3), (2,), (2,)), ((3, 2),)),
        (((2, 3), (2,)),),
        (((2, 3), (2,)), ((3, 2),), ()),
    ]:
        assert _native.are_plain_of_shapes(rows, wrong, dtype) is False
    for name, odd in odd_tensors().items():
        if name != "double" or dtype == torch.float32:
            assert _native.are_plain_of_shapes([[odd]], (((2, 3),),), dtype) is False, name
