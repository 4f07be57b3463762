"""Forward of one layer on the kernels. Shapes as in `function.py`."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from gatewise.nn.native.gradients import state_rows, with_contiguous_rows
from gatewise.nn.native.plan import Plan


class LayerValues(NamedTuple):
    """What a layer computed at every step."""

    output: Tensor  # (rows, D*P); an alias without a graph where the plan wants values
    kept: list[Tensor]  # (rows, (G+1)*H) a direction: gates, then the LSTM's c_t; only if kept and there is any


class LayerResult(NamedTuple):
    """What a layer returns, and what it computed."""

    output: Tensor  # (rows, D*P)
    h_n: Tensor  # (D, N, P)
    c_n: Tensor | None  # (D, N, H)
    values: LayerValues


def forward(
    plan: Plan, x: Tensor, h_0: Tensor | None, c_0: Tensor | None, flat: tuple[Tensor, ...], *, is_kept: bool
) -> LayerResult:
    """Call the kernel once a direction."""
    kind, rows, num_sequences = plan.kind, x.shape[:-1], plan.shape.num_sequences
    x = with_contiguous_rows(x)
    initial = state_rows(h_0), state_rows(c_0)
    # Sizes one by one: of a tuple a tensor takes half as long again to make.
    y = x.new_empty(*rows, kind.num_directions * kind.state_size)
    h_n = x.new_empty(kind.num_directions, num_sequences, kind.state_size)
    c_n = x.new_empty(kind.num_directions, num_sequences, kind.hidden_size) if kind.equations.has_cell_state else None
    # Before the kernel, after which it would take three times as long (docs/kernels.md, "Recording").
    alias = y.detach() if plan.tracing == "values" else y
    kept: list[Tensor] = []
    for d in range(kind.num_directions):
        if is_kept and kind.kept_size:
            kept.append(x.new_empty(*rows, kind.kept_size))
        w_ih, w_hh, *others = plan.weights(flat, d)
        b_ih, b_hh, w_hr = [None if weight is None else weight.contiguous() for weight in others]
        weights = w_ih.contiguous(), w_hh.contiguous(), b_ih, b_hh, w_hr
        kernel = plan.kernel(d, x.dtype, x.shape[-1])
        kernel.forward(plan.shape, x, initial, weights, y, (h_n, c_n), kept[-1] if kept else None)
    return LayerResult(y, h_n, c_n, LayerValues(alias, kept))
