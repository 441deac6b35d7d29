"""The references that fidelity is scored with, and the names of metrics in tables.

PCIM is optimised on a blur and on the image's background. Scores with those stand next to scores
with references that no method was optimised on: half the blur, and noise around the background.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from captum_pcim.core.references import Background, Blur

Reference = Callable[[Tensor], Tensor]


def blur(inputs: Tensor) -> Tensor:
    """The blur that PCIM is optimised on: 8 pixels at 96."""
    return Blur()(inputs)[0]


def background(inputs: Tensor) -> Tensor:
    """The flat background that PCIM is optimised on."""
    return Background()(inputs)[0]


def half_blur(inputs: Tensor) -> Tensor:
    """A blur half as wide: 4 pixels at 96."""
    return Blur(min(inputs.shape[2:]) / 24)(inputs)[0]


def noisy_background(inputs: Tensor) -> Tensor:
    """Background with noise of a tenth of each stain's standard deviation, the same every time."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(inputs.shape[1:], generator=generator).to(inputs)
    return background(inputs) + 0.1 * inputs.std((2, 3), keepdim=True) * noise


OPTIMISED_ON: dict[str, Reference] = {"blur": blur, "background": background}


LABELS = {
    "relevance_mass_accuracy": "mass accuracy",
    "relevance_rank_accuracy": "rank accuracy",
    "average_precision": "average precision",
}


def is_lower_better(metric: str) -> bool:
    return metric.startswith("deletion")
