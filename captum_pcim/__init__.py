"""Pixel-wise channel isolation mixing (PCIM) as a Captum attribution."""

import importlib
from typing import TYPE_CHECKING, Any

from captum_pcim import _moved
from captum_pcim._version import __version__
from captum_pcim.core.channels import Factorised, PerStain, SharedOverStains
from captum_pcim.core.diagnostics import Diagnostics
from captum_pcim.core.gradients import Autograd, ForwardOnly
from captum_pcim.core.objective import (
    Area,
    DistributionPreservation,
    LogArea,
    Preservation,
    Removal,
    Smoothness,
)
from captum_pcim.core.pixel_maps import pixel_maps
from captum_pcim.core.references import Background, Blur, Constant, ControlImages
from captum_pcim.core.smoothing import Smoothing
from captum_pcim.core.warn import PCIMWarning
from captum_pcim.pcim import PCIM

if TYPE_CHECKING:
    from captum_pcim.cells import crop_cells, explain_cells, measure

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
    "LogArea",
    "PCIMWarning",
    "PerStain",
    "Preservation",
    "Removal",
    "SharedOverStains",
    "Smoothing",
    "Smoothness",
    "__version__",
    "crop_cells",
    "explain_cells",
    "measure",
    "pixel_maps",
]

_moved.install()

_ROOMS = (
    "cells",
    "classifiers",
    "comparison",
    "images",
    "metrics",
    "profiles",
    "screen",
    "synthetic",
    "visualize",
)
_OF_CELLS = ("crop_cells", "explain_cells", "measure")


def __getattr__(name: str) -> Any:
    """Import a room when it is first asked for, so that `import captum_pcim` stays quick."""
    if name in _ROOMS:
        return importlib.import_module(f"captum_pcim.{name}")
    if name in _OF_CELLS:
        return getattr(importlib.import_module("captum_pcim.cells"), name)
    raise AttributeError(f"module 'captum_pcim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_ROOMS, *_OF_CELLS])
