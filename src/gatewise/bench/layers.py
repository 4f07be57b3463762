"""gatewise's layer beside torch.nn's: the same weights, the same input, the same job."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor
from torch.nn import RNNBase

import gatewise.nn
from gatewise.bench.problem import Job, Size
from gatewise.bench.record import Claim, Point
from gatewise.bench.turns import Contestant, Pace, assert_agreement, take_turns
from gatewise.errors import GatewiseError

GEMM_SIZE = 2048
Results = dict[str, Tensor]
Call = Callable[[RNNBase, Tensor], Tensor]  # how a layer is called: returns the output that the loss is made of


def call_padded(layer: RNNBase, x: Tensor) -> Tensor:
    """Return the output (T, N, H) of x (T, N, I)."""
    output: Tensor = layer(x)[0]
    return output


def infer(layer: RNNBase, x: Tensor, call: Call = call_padded) -> Results:
    """Return the output, without gradients."""
    with torch.no_grad():
        return {"output": call(layer, x)}


def train(layer: RNNBase, x: Tensor, call: Call = call_padded) -> Results:
    """Return output and all gradients of the sum of the outputs, that of the input included; no optimizer step."""
    for tensor in (x, *layer.parameters()):
        tensor.grad = None
    output = call(layer, x)
    torch.autograd.backward(output.sum())
    gradients = {"input": x.grad} | {name: parameter.grad for name, parameter in layer.named_parameters()}
    return {"output": output.detach()} | {f"grad {name}": grad for name, grad in gradients.items() if grad is not None}


RUNS: dict[str, Callable[[RNNBase, Tensor, Call], Results]] = {"inference": infer, "training": train}


class LayerPair:
    """torch.nn's and gatewise's layer of one cell and size, with equal weights and one input.

    Parameters
    ----------
    cell : str
    size : Size
    dtype : torch.dtype, default torch.float32

    Attributes
    ----------
    theirs, ours : torch.nn.RNNBase
    x : Tensor (T, N, I)
        Standard normal.
    """

    def __init__(self, cell: str, size: Size, dtype: torch.dtype = torch.float32) -> None:
        self.cell, self.size = cell, size
        torch.manual_seed(0)
        self.theirs: RNNBase = getattr(torch.nn, cell)(size.input_size, size.hidden_size, dtype=dtype)
        self.ours: gatewise.nn.layers.RecurrentLayer = getattr(gatewise.nn, cell)(
            size.input_size, size.hidden_size, dtype=dtype
        )
        self.ours.load_state_dict(self.theirs.state_dict())
        self.x = torch.randn(size.num_steps, size.num_sequences, size.input_size, dtype=dtype)

    def input_of(self, job: Job) -> Tensor:
        """Return x as the job takes it: training wants its gradient."""
        return self.x.clone().requires_grad_() if job == "training" else self.x

    def contestants(self, job: Job, torch_call: Call = call_padded, our_call: Call = call_padded) -> list[Contestant]:
        """Return torch.nn and gatewise as contestants, after checking that they agree.

        Raises
        ------
        GatewiseError
            If they disagree, or if our layer did not take the native path.
        """
        run, x = RUNS[job], self.input_of(job)
        assert_agreement("gatewise", run(self.ours, x, our_call), self.expected(job, torch_call))
        if self.ours.path != "native":
            raise GatewiseError(
                f"the {self.cell} took the path {self.ours.path!r}, not the native one; nothing was timed "
                "(no kernels for this CPU, or GATEWISE_ISA rules them out)"
            )
        return [
            Contestant("torch.nn", lambda: run(self.theirs, x, torch_call)),
            Contestant("gatewise", lambda: run(self.ours, x, our_call)),
        ]

    def expected(self, job: Job, call: Call = call_padded) -> Results:
        """Return torch.nn's results, copied."""
        results = RUNS[job](self.theirs, self.input_of(job), call)
        return {name: value.clone() for name, value in results.items()}


def compare_layers(cell: str, size: Size, jobs: Iterable[Job], pace: Pace, target: float = 1.0) -> Iterator[Point]:
    """Yield a point for each job: torch.nn against gatewise, float32."""
    pair = LayerPair(cell, size)
    for job in jobs:
        yield Point(
            cell=cell,
            size=size,
            job=job,
            samples=take_turns(pair.contestants(job), pace),
            flops=size.flops(cell, job),
            claims=(Claim(of="torch.nn", over="gatewise", target=target),),
        )


def gemm_flops_per_s(dtype: torch.dtype = torch.float32, repeats: int = 3) -> float:
    """Return the rate of torch.mm at 2048 x 2048 x 2048: what this machine's matrix products reach at best."""
    a, b = (torch.randn(GEMM_SIZE, GEMM_SIZE, dtype=dtype) for _ in range(2))
    out = torch.empty_like(a)
    seconds = []
    for _ in range(repeats + 1):  # the first one warms up
        start = time.perf_counter()
        torch.mm(a, b, out=out)
        seconds.append(time.perf_counter() - start)
    return 2 * GEMM_SIZE**3 / statistics.median(seconds[1:])
