"""Run a problem on a layer and collect every result and every gradient by name, in one padded time-major form.

The reference for padded batches with lengths is torch.nn on each sequence alone: torch itself knows no zero length.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import RNNBase

from problems import (
    Problem,
    Results,
    as_hx,
    as_input,
    as_lengths,
    as_padded,
    initial_states,
    loss_of,
    padded_inputs,
)

Outcome = tuple[Tensor, tuple[Tensor, ...]]  # output (T, N, D*P); h_n and, for the LSTM, c_n (L*D, N, ...)
Runner = Callable[[RNNBase, Problem, Tensor, tuple[Tensor, ...]], Outcome]


def finals_of(problem: Problem, final: object) -> tuple[Tensor, ...]:
    """Return h_n (and c_n) as (L*D, N, ...), whatever form the layer returned."""
    states = final if isinstance(final, tuple) else (final,)
    return tuple(state if problem.is_batched else state.unsqueeze(1) for state in states)


def by_forward(layer: RNNBase, problem: Problem, padded: Tensor, states: tuple[Tensor, ...]) -> Outcome:
    """Call the layer; torch.nn's as long as the problem has no lengths that torch.nn does not know."""
    lengths = as_lengths(problem)
    keywords = {} if lengths is None else {"lengths": lengths}
    output, final = layer(as_input(problem, padded), as_hx(problem, states), **keywords)
    return as_padded(problem, output), finals_of(problem, final)


def by_trace(layer: RNNBase, problem: Problem, padded: Tensor, states: tuple[Tensor, ...]) -> Outcome:
    """Read output and final states off the trace, which has them batched and time-major."""
    trace = layer.trace(as_input(problem, padded), as_hx(problem, states), as_lengths(problem))
    finals = (trace.h_n,) if trace.c_n is None else (trace.h_n, trace.c_n)
    return as_padded(problem, trace.output), finals


def one_by_one(layer: RNNBase, problem: Problem, padded: Tensor, states: tuple[Tensor, ...]) -> Outcome:
    """Give torch.nn each sequence alone and time-major; one of length zero returns its initial state."""
    outputs, finals = [], []
    lengths = problem.lengths or (problem.num_steps,) * problem.num_sequences
    batch_first, layer.batch_first = layer.batch_first, False
    for n, length in enumerate(lengths):
        initial = tuple(state[:, n : n + 1] for state in states)
        if not problem.has_initial_state:
            initial = tuple(torch.zeros_like(state) for state in initial)
        if length == 0:
            outputs.append(padded.new_zeros(problem.num_steps, 1, problem.num_directions * problem.state_size))
            finals.append(initial)
            continue
        hx = initial if problem.cell == "LSTM" else initial[0]
        output, final = layer(padded[:length, n : n + 1], hx)
        outputs.append(torch.nn.functional.pad(output, (0, 0, 0, 0, 0, problem.num_steps - length)))
        finals.append(final if isinstance(final, tuple) else (final,))
    layer.batch_first = batch_first
    return torch.cat(outputs, dim=1), tuple(torch.cat(parts, dim=1) for parts in zip(*finals, strict=True))


def reference(layer: RNNBase, problem: Problem, padded: Tensor, states: tuple[Tensor, ...]) -> Outcome:
    """Return what torch.nn computes: in one call where it can, else one by one."""
    runner = one_by_one if as_lengths(problem) is not None else by_forward
    return runner(layer, problem, padded, states)


def evaluate(layer: RNNBase, problem: Problem, run: Runner, padded: Tensor | None = None) -> Results:
    """Return output, final states and the gradient of `loss_of` in x, h_0, c_0 and every parameter, by name.

    A gradient that autograd calls unused is reported as zero. The seed is set, so that dropout masks can be compared.
    """
    dtype = layer.weight_ih_l0.dtype
    padded = (padded_inputs(problem, dtype) if padded is None else padded.clone()).requires_grad_()
    states = tuple(state.requires_grad_() for state in initial_states(problem, dtype))
    torch.manual_seed(11)
    output, finals = run(layer, problem, padded, states)
    leaves = {"grad input": padded, **{f"grad {name}": value for name, value in layer.named_parameters()}}
    if problem.has_initial_state:
        leaves |= {f"grad {name}": state for name, state in zip(("h_0", "c_0"), states, strict=False)}
    gradients = torch.autograd.grad(loss_of(output, *finals), tuple(leaves.values()), materialize_grads=True)
    results = {"output": output, **dict(zip(("h_n", "c_n"), finals, strict=False))}
    return {name: value.detach() for name, value in (results | dict(zip(leaves, gradients, strict=True))).items()}
