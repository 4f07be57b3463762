"""Forward of one layer on the kernels. Shapes as in `function.py`."""

from __future__ import annotations

import torch
from torch import Tensor

from gatewise.nn.native.gradients import with_contiguous_rows
from gatewise.nn.native.plan import Plan


def forward(
    plan: Plan, x: Tensor, h_0: Tensor, c_0: Tensor | None, flat: tuple[Tensor, ...], *, is_kept: bool
) -> tuple[Tensor, Tensor, Tensor | None, list[Tensor], list[Tensor]]:
    """Call the kernel once a direction; also return gates and what else was kept, if `is_kept` and there is any."""
    rows = x.shape[:-1]
    x = with_contiguous_rows(x)
    initial = with_contiguous_rows(h_0), None if c_0 is None else with_contiguous_rows(c_0)
    y = x.new_empty(*rows, plan.num_directions * plan.state_size)
    h_n = x.new_empty(plan.num_directions, h_0.shape[1], plan.state_size)
    c_n = None if c_0 is None else x.new_empty(c_0.shape)
    gates: list[Tensor] = []
    kept: list[Tensor] = []
    for d in range(plan.num_directions):
        if is_kept and plan.equations.gate_names:
            for_gates, for_kept = _memory_for_backward(plan, x, rows)
            gates.append(for_gates)
            kept.append(for_kept)
        w_ih, w_hh, b_ih, b_hh, w_hr = plan.weights(flat, d)
        weights = w_ih.contiguous(), w_hh.contiguous(), _contiguous(b_ih), _contiguous(b_hh), _contiguous(w_hr)
        plan.kernel(d, x.dtype, x.shape[-1]).forward(
            x, initial, weights, y, (h_n, c_n), gates[-1] if gates else None, kept[-1] if kept else None
        )
    return y, h_n, c_n, gates, kept


def _memory_for_backward(plan: Plan, x: Tensor, rows: torch.Size) -> tuple[Tensor, Tensor]:
    """Return memory for the gates (rows, G*H) and for what else is kept (rows, H).

    One piece where nobody else gets to see it: the allocator hands freed memory back to the system once it is more than
    twice the largest piece, and fetching its pages again took longer than a small layer computes.
    """
    blocks, size = plan.equations.num_blocks, plan.hidden_size
    if plan.tracing != "none":
        return x.new_empty(*rows, blocks * size), x.new_empty(*rows, size)
    elements = rows.numel() * size
    both = x.new_empty((blocks + 1) * elements)
    return both[: blocks * elements].view(*rows, -1), both[blocks * elements :].view(*rows, -1)


def _contiguous(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()
