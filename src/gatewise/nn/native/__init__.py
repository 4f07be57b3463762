"""The native path: each layer is one autograd node around the fused kernels of the native core."""

from gatewise.nn.native.kernels import LayerValues
from gatewise.nn.native.plan import Tracing
from gatewise.nn.native.run import NativeRun, run_native
from gatewise.nn.native.totals import TotalGradients

__all__ = ["LayerValues", "NativeRun", "TotalGradients", "Tracing", "run_native"]
