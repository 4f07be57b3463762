"""Measures of how far gradient and memory reach; no plotting."""

from gatewise.flow.gradient_by_lag import GradientByLag, gradient_by_lag
from gatewise.flow.lag_product import LagProduct, lag_product, lag_product_from_jacobians
from gatewise.flow.lyapunov import LyapunovSpectrum, lyapunov_from_jacobians, lyapunov_spectrum
from gatewise.flow.memory import memory_half_life
from gatewise.flow.recurrent_spectrum import RecurrentSpectrum, recurrent_spectrum
from gatewise.flow.step_jacobians import step_jacobians

__all__ = [
    "GradientByLag",
    "LagProduct",
    "LyapunovSpectrum",
    "RecurrentSpectrum",
    "gradient_by_lag",
    "lag_product",
    "lag_product_from_jacobians",
    "lyapunov_from_jacobians",
    "lyapunov_spectrum",
    "memory_half_life",
    "recurrent_spectrum",
    "step_jacobians",
]
