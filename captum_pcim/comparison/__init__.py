"""Any set of attribution methods on the same images, scored and drawn side by side."""

from captum_pcim.comparison.compare import compare
from captum_pcim.comparison.methods import FORMS, Method, captum_methods
from captum_pcim.comparison.metrics import (
    Case,
    Metric,
    default_metrics,
    fidelity_metrics,
    localisation_metrics,
)
from captum_pcim.comparison.result import Comparison, MethodResult, table_text
from captum_pcim.comparison.trivial import trivial_methods

__all__ = [
    "FORMS",
    "Case",
    "Comparison",
    "Method",
    "MethodResult",
    "Metric",
    "captum_methods",
    "compare",
    "default_metrics",
    "fidelity_metrics",
    "localisation_metrics",
    "table_text",
    "trivial_methods",
]
