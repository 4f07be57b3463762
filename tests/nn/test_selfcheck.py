"""gw.selfcheck says that this machine is right, and notices when it is not."""

from __future__ import annotations

import pytest
import torch

import gatewise as gw
from gatewise import _native
from gatewise.nn.native import gradients

needs_kernels = pytest.mark.skipif(_native.cpu_level() == "none", reason="this machine has no native kernels")


def test_selfcheck_finds_this_machine_right_and_leaves_the_random_state() -> None:
    before = torch.get_rng_state()
    result = gw.selfcheck()
    assert result.is_right
    assert torch.equal(torch.get_rng_state(), before)
    assert result.cpu_level == _native.cpu_level()
    if result.cpu_level == "none":
        assert "no native kernels" in str(result)
    else:
        assert len(result.findings) == 10
        assert "WRONG" not in str(result)


@needs_kernels
@pytest.mark.parametrize("factor", [1 + 1e-4, float("nan")])
def test_selfcheck_notices_a_spoilt_gradient(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    right = gradients._given

    def spoilt(cotangents: tuple[torch.Tensor | None, ...]) -> list[torch.Tensor | None]:
        return [tensor if tensor is None else tensor * factor for tensor in right(cotangents)]

    monkeypatch.setattr(gradients, "_given", spoilt)
    result = gw.selfcheck()
    assert not result.is_right
    assert "WRONG: GRU, float32" in str(result)
    assert "GATEWISE_ISA=none" in str(result)
