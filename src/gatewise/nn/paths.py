"""Which path computes a call: the one seam between the layers and what runs underneath.

"native"     our fused kernels; nothing but the result comes out.
"torch"      torch's own kernels; nothing but the result comes out either.
"composite"  `composite.py`: everything is kept, and everything is differentiable.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import _VF, Tensor
from torch.autograd import forward_ad
from torch.nn import RNNBase
from torch.nn.utils.rnn import PackedSequence

from gatewise import _native
from gatewise.cells import State
from gatewise.nn import ragged
from gatewise.nn.call import Call
from gatewise.nn.composite import run_composite
from gatewise.nn.native import run_native
from gatewise.nn.weights import in_one_list

Path = Literal["native", "composite", "torch"]


_KERNEL_DTYPES = (torch.float32, torch.float64)
_HAS_KERNELS = _native.cpu_level() != "none"  # once: the compiler cannot see through the call


def choose_path(call: Call) -> Path:
    """Return the path that computes `call` fastest where nothing but the result is wanted."""
    # First: while Dynamo traces, the tests for transforms below would say that there is one.
    if torch.compiler.is_compiling():
        # ONNX has operators for torch's layers and none for ours.
        is_open = call.packed is None and not torch.onnx.is_in_onnx_export() and not torch.is_autocast_enabled("cpu")
        return "native" if _HAS_KERNELS and is_open and _is_native_in_graph(call) else "torch"
    if _is_being_transformed():
        return "composite"
    if _HAS_KERNELS and not _is_watched() and _is_native(call):
        return "native"
    return _without_kernels(call)


def _without_kernels(call: Call) -> Path:
    # torch can pack no batch in which every sequence is empty.
    is_empty = call.lengths is not None and not call.lengths.any()
    return "composite" if is_empty else "torch"


def _is_being_transformed() -> bool:
    """Whether torch.func or forward-mode differentiation is at work, to which an autograd.Function is opaque."""
    return forward_ad._current_level >= 0 or torch._C._functorch.peek_interpreter_stack() is not None


def _is_watched() -> bool:
    """Whether somebody must see torch's operators: tracing, autocast, a FLOP counter, fake tensors."""
    return bool(
        torch._C._get_tracing_state() is not None
        or torch.is_autocast_enabled("cpu")
        or torch._C._len_torch_dispatch_stack()
    )


def _is_native(call: Call) -> bool:
    """Whether layer and call are of the kinds that the kernels know."""
    dtype = call.data.dtype
    return (
        dtype in _KERNEL_DTYPES
        and call.data.numel() > 0
        and _native.are_plain(_given_tensors(call), dtype)
        # Where they are not, torch says what is wrong with them.
        and _native.are_plain_of_shapes(call.weights, call.form.weight_shapes, dtype)
    )


def _is_native_in_graph(call: Call) -> bool:
    """Answer the same while Dynamo traces, which shows fake tensors and tells nobody whether one is a negated view."""
    dtype = call.data.dtype
    tensors = [*_given_tensors(call), *in_one_list(call.weights)]
    return (
        dtype in _KERNEL_DTYPES
        and call.data.numel() > 0
        and _native.have_shapes(call.weights, call.form.weight_shapes)
        and all(tensor.dtype == dtype and tensor.is_cpu and tensor.layout == torch.strided for tensor in tensors)
    )


def _given_tensors(call: Call) -> list[Tensor]:
    """Return the input and the initial states that were given."""
    if call.given is None:
        return [call.data]
    tensors = [call.data, call.given.hidden]
    return tensors if call.given.cell is None else [*tensors, call.given.cell]


def run(path: Path, layer: RNNBase, call: Call) -> tuple[Tensor, State]:
    """Compute `call` on `path`.

    Returns
    -------
    output : Tensor
        (T, N, D*P), zero past each sequence's end; for a packed call (R, D*P) on the paths that do not pad it.
    final : State
        hidden (L*D, N, P), cell (L*D, N, H).
    """
    if path == "native":
        native = run_native(layer, call)
        return native.output, native.final
    if path == "composite":
        result = run_composite(layer, call)
        return result.output, result.final
    if call.packed is not None:
        return _run_torch_packed(layer, call, call.packed)
    if call.lengths is not None:
        return _run_torch_ragged(layer, call, call.lengths)
    return _call_kernel(layer, call, call.inputs, call.initial, batch_sizes=None)


def _run_torch_packed(layer: RNNBase, call: Call, packed: PackedSequence) -> tuple[Tensor, State]:
    """Run torch's kernel on the packed input as it came."""
    initial = ragged.reorder(call.initial, packed.sorted_indices)
    data, final = _call_kernel(layer, call, packed.data, initial, packed.batch_sizes)
    return data, ragged.reorder(final, packed.unsorted_indices)


def _run_torch_ragged(layer: RNNBase, call: Call, lengths: Tensor) -> tuple[Tensor, State]:
    """Pack for torch's kernel, which takes no empty sequence; those keep their initial state."""
    num_steps, num_sequences = call.inputs.shape[:2]
    packed, nonempty = ragged.pack_nonempty(call.inputs, lengths)
    order = nonempty.to(packed.data.device)
    if packed.sorted_indices is not None:
        order = order[packed.sorted_indices]
    data, ended = _call_kernel(layer, call, packed.data, ragged.reorder(call.initial, order), packed.batch_sizes)
    output = ragged.unpack_nonempty(packed._replace(data=data), nonempty, num_steps, num_sequences)
    hidden = call.initial.hidden.index_copy(1, order, ended.hidden)
    if call.initial.cell is None or ended.cell is None:
        return output, State(hidden)
    return output, State(hidden, call.initial.cell.index_copy(1, order, ended.cell))


def _call_kernel(
    layer: RNNBase, call: Call, inputs: Tensor, initial: State, batch_sizes: Tensor | None
) -> tuple[Tensor, State]:
    """Call torch's kernel of the layer's kind on (T, N, I), or on packed data with its batch sizes."""
    kernel = getattr(_VF, layer.mode.lower())
    # Not layer._flat_weights: a layer refreshes that list on the way, which torch.export takes for an assignment.
    weights = in_one_list(call.weights)
    hx = initial.hidden if initial.cell is None else (initial.hidden, initial.cell)
    options = (layer.bias, layer.num_layers, layer.dropout, layer.training, layer.bidirectional)
    if batch_sizes is None:
        output, *final = kernel(inputs, hx, weights, *options, False)  # False: time-major
    else:
        output, *final = kernel(inputs, batch_sizes, hx, weights, *options)
    return output, State(*final)
