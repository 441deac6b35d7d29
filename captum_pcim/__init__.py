"""Pixel-wise channel isolation mixing (PCIM) as a Captum attribution."""

from captum_pcim._version import __version__
from captum_pcim.diagnostics import Diagnostics
from captum_pcim.gradients import Autograd, ForwardOnly
from captum_pcim.isolation import Factorised, PerStain, SharedOverStains
from captum_pcim.objective import (
    Area,
    DistributionPreservation,
    Preservation,
    Removal,
    Smoothness,
)
from captum_pcim.pcim import PCIM
from captum_pcim.references import Background, Blur, Constant, ControlImages
from captum_pcim.smoothing import Smoothing

__all__ = [
    "PCIM",
    "Area",
    "Autograd",
    "Background",
    "Blur",
    "Constant",
    "ControlImages",
    "Diagnostics",
    "DistributionPreservation",
    "Factorised",
    "ForwardOnly",
    "PerStain",
    "Preservation",
    "Removal",
    "SharedOverStains",
    "Smoothing",
    "Smoothness",
    "__version__",
]
