"""Measures of how far gradient and memory reach; no plotting."""

from gatewise.flow.gradient_by_lag import GradientByLag, gradient_by_lag
from gatewise.flow.memory import memory_half_life
from gatewise.flow.step_jacobians import step_jacobians

__all__ = ["GradientByLag", "gradient_by_lag", "memory_half_life", "step_jacobians"]
