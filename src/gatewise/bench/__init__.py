"""Timing the layers so that the figures can be trusted: agree first, then take turns, then say how sure one can be.

This is the heart, shared by `gatewise bench` and the scripts in ``benchmarks/``: it measures and describes, and neither
prints nor knows any other framework than torch.
"""

from gatewise.bench.layers import GEMM_SIZE, LayerPair, compare_layers, gemm_flops_per_s
from gatewise.bench.problem import CELLS, GRID, JOBS, QUICK_GRID, Job, Size, parse_size
from gatewise.bench.record import SCHEMA_VERSION, BenchRecord, Claim, Point
from gatewise.bench.speed import BenchSettings, conclusion, gflops_per_s, measure_speed
from gatewise.bench.statistics import Estimate, geometric_mean, median_difference, median_ratio, ratio_of_medians
from gatewise.bench.turns import Contestant, Pace, alternate, assert_agreement, take_turns
from gatewise.bench.verdict import Verdict, judge

__all__ = [
    "CELLS",
    "GEMM_SIZE",
    "GRID",
    "JOBS",
    "QUICK_GRID",
    "SCHEMA_VERSION",
    "BenchRecord",
    "BenchSettings",
    "Claim",
    "Contestant",
    "Estimate",
    "Job",
    "LayerPair",
    "Pace",
    "Point",
    "Size",
    "Verdict",
    "alternate",
    "assert_agreement",
    "compare_layers",
    "conclusion",
    "gemm_flops_per_s",
    "geometric_mean",
    "gflops_per_s",
    "judge",
    "measure_speed",
    "median_difference",
    "median_ratio",
    "parse_size",
    "ratio_of_medians",
    "take_turns",
]
