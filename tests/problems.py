"""The ONE list of shapes and options on which layers are compared: tests, gradient checks and benchmarks read it.

Shapes: T steps, N sequences, I inputs, H hidden units, P projection (P = H without one), L layers, D directions.
Everything is seeded. Where nothing forbids it, I != H, T >= 3, N >= 3, weights AND biases are random and not near zero,
and H leaves a tail in every SIMD width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import RNNBase
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import gatewise as gw

HiddenState = Tensor | tuple[Tensor, Tensor]
Results = dict[str, Tensor]  # "output", "h_n", "c_n", "grad input", "grad h_0", "grad c_0", "grad weight_ih_l0" ...


@dataclass(frozen=True)
class Problem:
    """One layer and the form of the call that it gets."""

    cell: str  # "RNN", "LSTM", "GRU"
    num_steps: int = 7  # T
    num_sequences: int = 3  # N
    input_size: int = 4  # I
    hidden_size: int = 5  # H
    nonlinearity: str = "tanh"  # RNN only
    num_layers: int = 1
    bidirectional: bool = False
    bias: bool = True
    batch_first: bool = False
    proj_size: int = 0  # LSTM only
    dropout: float = 0.0
    lengths: tuple[int, ...] | None = None  # of a padded batch, or of the packed one
    is_packed: bool = False
    is_batched: bool = True
    has_initial_state: bool = True

    @property
    def id(self) -> str:
        """A readable name: sizes always, options where they are not the default."""
        parts = [self.cell.lower() if self.nonlinearity == "tanh" else "relu-rnn"]
        parts += [f"T{self.num_steps}N{self.num_sequences}I{self.input_size}H{self.hidden_size}"]
        parts += [f"P{self.proj_size}"] if self.proj_size else []
        parts += [f"L{self.num_layers}"] if self.num_layers > 1 else []
        parts += ["bi"] if self.bidirectional else []
        parts += [] if self.bias else ["nobias"]
        parts += ["batch-first"] if self.batch_first else []
        parts += [f"drop{self.dropout}"] if self.dropout else []
        parts += ["lengths" + ".".join(map(str, self.lengths))] if self.lengths is not None else []
        parts += ["packed"] if self.is_packed else []
        parts += [] if self.is_batched else ["unbatched"]
        parts += [] if self.has_initial_state else ["nostate"]
        return "-".join(parts)

    @property
    def num_directions(self) -> int:
        """D."""
        return 2 if self.bidirectional else 1

    @property
    def num_rows(self) -> int:
        """L*D, the first axis of h_n and of every trace."""
        return self.num_layers * self.num_directions

    @property
    def state_size(self) -> int:
        """P, or H without a projection."""
        return self.proj_size or self.hidden_size

    @property
    def options(self) -> dict[str, object]:
        """Keyword arguments of the layer's class, for torch.nn and gatewise alike."""
        names = ["input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional"]
        names += ["nonlinearity"] if self.cell == "RNN" else []
        names += ["proj_size"] if self.proj_size else []
        return {name: getattr(self, name) for name in names}


# ---- the list -------------------------------------------------------------------------------------------------------

KINDS = ({"cell": "RNN"}, {"cell": "RNN", "nonlinearity": "relu"}, {"cell": "LSTM"}, {"cell": "GRU"})

_WIDE = {"num_steps": 5, "num_sequences": 4, "input_size": 6, "hidden_size": 13}
_RAGGED = {"num_sequences": 5, "lengths": (3, 7, 0, 1, 7)}
_PACKED = {"num_sequences": 4, "lengths": (2, 7, 4, 7), "is_packed": True}
_OPTIONS: tuple[dict[str, object], ...] = (
    {},
    {"num_steps": 4, "num_sequences": 3, "input_size": 3, "hidden_size": 17},
    {"num_steps": 3, "num_sequences": 9, "input_size": 19, "hidden_size": 8},
    {"num_steps": 12, "num_sequences": 3, "input_size": 2, "hidden_size": 33},
    {"has_initial_state": False},
    {"bias": False},
    {"batch_first": True},
    {"bidirectional": True},
    {"num_layers": 3},
    {**_WIDE, "num_layers": 2, "bidirectional": True},
    {**_WIDE, "num_layers": 2, "bidirectional": True, "bias": False, "batch_first": True, "has_initial_state": False},
    {"num_layers": 2, "dropout": 0.4},
    {"is_batched": False, "num_sequences": 1},
    {"is_batched": False, "num_sequences": 1, "batch_first": True, "bidirectional": True, "num_layers": 2},
    {"is_batched": False, "num_sequences": 1, "lengths": (4,), "bidirectional": True},
    {**_RAGGED},
    {**_RAGGED, "batch_first": True, "bidirectional": True, "num_layers": 2},
    {**_RAGGED, "bidirectional": True, "has_initial_state": False, "bias": False},
    {"lengths": (0, 0, 0), "bidirectional": True, "num_layers": 2},
    {**_PACKED},
    {**_PACKED, "bidirectional": True, "num_layers": 2, "batch_first": True},
    {**_PACKED, "bidirectional": True, "num_layers": 2, "dropout": 0.4, "has_initial_state": False},
    {"num_steps": 1},
    {"num_sequences": 1},
    {"hidden_size": 1},
    {"num_steps": 1, "num_sequences": 1, "input_size": 1, "hidden_size": 1},
)
_PROJECTED: tuple[dict[str, object], ...] = (
    {"proj_size": 3},
    {"proj_size": 1, "hidden_size": 2, "bias": False},
    {**_WIDE, "proj_size": 5, "num_layers": 2, "bidirectional": True, "batch_first": True},
    {**_RAGGED, "proj_size": 3, "num_layers": 2, "bidirectional": True},
    {**_PACKED, "proj_size": 3, "num_layers": 2, "bidirectional": True, "dropout": 0.4},
    {"proj_size": 3, "is_batched": False, "num_sequences": 1},
)


def _all_problems() -> Iterator[Problem]:
    for kind in KINDS:
        for options in _OPTIONS:
            yield Problem(**kind, **options)  # type: ignore[arg-type]
    for options in _PROJECTED:
        yield Problem("LSTM", **options)  # type: ignore[arg-type]


PROBLEMS = tuple(_all_problems())


def one_of_each(**options: object) -> tuple[Problem, ...]:
    """Return one problem for RNN, relu RNN, LSTM and GRU with the same options."""
    return tuple(Problem(**kind, **options) for kind in KINDS)  # type: ignore[arg-type]


# ---- layers ---------------------------------------------------------------------------------------------------------


def build_layer(problem: Problem, module: object = gw.nn, dtype: torch.dtype = torch.float64, seed: int = 1) -> RNNBase:
    """Return the problem's layer from `module` (gw.nn or torch.nn) with random weights and biases, none near zero size.

    Weights are uniform in +-1.5/sqrt(fan_in): gates move over most of their range, and a relu net does not explode.
    """
    layer: RNNBase = getattr(module, problem.cell)(**problem.options, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            bound = 0.7 if name.startswith("bias") else 1.5 / parameter.shape[1] ** 0.5
            drawn = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_((2 * drawn - 1) * bound)
    return layer.to(dtype)


def build_pair(problem: Problem, dtype: torch.dtype = torch.float64) -> tuple[RNNBase, RNNBase]:
    """Return (torch.nn layer, gw.nn layer) with the same parameters."""
    return build_layer(problem, torch.nn, dtype), build_layer(problem, gw.nn, dtype)


# ---- arguments and cotangents: padded (T, N, ...), then in the form of the call -------------------------------------


def random(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return standard normal numbers that depend on the shape and the seed alone."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def padded_inputs(problem: Problem, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return x (T, N, I); what lies past a sequence's end is random like the rest."""
    return random((problem.num_steps, problem.num_sequences, problem.input_size), 2, dtype)


def initial_states(problem: Problem, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    """Return (h_0 (L*D, N, P),), for the LSTM with c_0 (L*D, N, H)."""
    rows, sequences = problem.num_rows, problem.num_sequences
    hidden = 0.7 * random((rows, sequences, problem.state_size), 3, dtype)
    return (hidden, random((rows, sequences, problem.hidden_size), 4, dtype)) if problem.cell == "LSTM" else (hidden,)


def as_input(problem: Problem, padded: Tensor) -> Tensor | PackedSequence:
    """Bring (T, N, ...) into the form in which the problem hands it over."""
    if problem.is_packed:
        return pack_padded_sequence(padded, torch.tensor(problem.lengths), enforce_sorted=False)
    if not problem.is_batched:
        return padded.squeeze(1)
    return padded.transpose(0, 1) if problem.batch_first else padded


def as_padded(problem: Problem, returned: Tensor | PackedSequence) -> Tensor:
    """Undo `as_input` on an output: (T, N, ...)."""
    if isinstance(returned, PackedSequence):
        return pad_packed_sequence(returned, total_length=problem.num_steps)[0]
    if not problem.is_batched:
        return returned.unsqueeze(1)
    return returned.transpose(0, 1) if problem.batch_first else returned


def as_hx(problem: Problem, states: tuple[Tensor, ...]) -> HiddenState | None:
    """Return the `hx` argument made from (L*D, N, ...) states; None if the problem starts without."""
    if not problem.has_initial_state:
        return None
    shaped = states if problem.is_batched else tuple(state.squeeze(1) for state in states)
    return shaped if len(shaped) == 2 else shaped[0]


def as_lengths(problem: Problem) -> list[int] | int | None:
    """Return the `lengths` argument; None where there are none or where the packed input carries them."""
    if problem.lengths is None or problem.is_packed:
        return None
    return list(problem.lengths) if problem.is_batched else problem.lengths[0]


def loss_of(*values: Tensor) -> Tensor:
    """Return a scalar whose gradient is a random cotangent for every entry of every value (output, h_n, c_n ...)."""
    terms = [(value * random(tuple(value.shape), 5 + k, value.dtype)).sum() for k, value in enumerate(values)]
    return torch.stack(terms).sum()


def without_dropout(problem: Problem) -> Problem:
    """Return the same problem with dropout 0."""
    return replace(problem, dropout=0.0)
