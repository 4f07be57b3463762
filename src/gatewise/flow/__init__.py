"""Measures of how far gradient and memory reach; no plotting."""

from gatewise.flow.diagnose import diagnose
from gatewise.flow.diagnosis import Advice, Diagnosis, Evidence, LayerDiagnosis
from gatewise.flow.gates import GateStatistics, MemoryBalance, gate_statistics, memory_balance
from gatewise.flow.gradient_by_lag import gradient_by_lag, input_sensitivity_by_lag
from gatewise.flow.hidden_gradient import HiddenGradientNorms, hidden_gradient_norms
from gatewise.flow.lag_curve import GradientByLag
from gatewise.flow.lag_product import LagProduct, lag_product, lag_product_from_jacobians
from gatewise.flow.lyapunov import LyapunovSpectrum, lyapunov_from_jacobians, lyapunov_spectrum
from gatewise.flow.memory import DirectPath, direct_path_by_lag, memory_half_life
from gatewise.flow.memory_capacity import MemoryCapacity, memory_capacity
from gatewise.flow.monitor import Monitor, MonitoredLayer, MonitorRecord
from gatewise.flow.non_finite import NonFinite
from gatewise.flow.recurrent_spectrum import RecurrentSpectrum, recurrent_spectrum
from gatewise.flow.step_jacobians import step_jacobians
from gatewise.flow.verdict import Verdict

__all__ = [
    "Advice",
    "Diagnosis",
    "DirectPath",
    "Evidence",
    "GateStatistics",
    "GradientByLag",
    "HiddenGradientNorms",
    "LagProduct",
    "LayerDiagnosis",
    "LyapunovSpectrum",
    "MemoryBalance",
    "MemoryCapacity",
    "Monitor",
    "MonitorRecord",
    "MonitoredLayer",
    "NonFinite",
    "RecurrentSpectrum",
    "Verdict",
    "diagnose",
    "direct_path_by_lag",
    "gate_statistics",
    "gradient_by_lag",
    "hidden_gradient_norms",
    "input_sensitivity_by_lag",
    "lag_product",
    "lag_product_from_jacobians",
    "lyapunov_from_jacobians",
    "lyapunov_spectrum",
    "memory_balance",
    "memory_capacity",
    "memory_half_life",
    "recurrent_spectrum",
    "step_jacobians",
]
