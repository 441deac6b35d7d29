"""Maps that know nothing of the classifier: what every attribution has to beat.

Each is a function of (inputs, target), as :func:`captum_pcim.comparison.compare` takes it, and
returns maps of shape (N, 1, H, W). In fluorescence, raw intensity is hard to beat.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from captum_pcim.core.references import Background

Trivial = Callable[..., Tensor]

N_LEVELS = 256  # that a threshold is chosen among


def random_map(inputs: Tensor, target: Any = None) -> Tensor:
    """Draw every pixel from the uniform distribution, with torch's global generator.

    Args:
        inputs: Images of shape (N, C, H, W).
        target: Not looked at.

    Returns:
        Maps of shape (N, 1, H, W), in [0, 1].
    """
    shape = len(inputs), 1, *inputs.shape[2:]
    return torch.rand(shape, dtype=torch.float32).to(inputs)


def centre_gaussian(inputs: Tensor, target: Any = None) -> Tensor:
    """Put a Gaussian on the centre of the image, a quarter of each side wide.

    Args:
        inputs: Images of shape (N, C, H, W).
        target: Not looked at.

    Returns:
        Maps of shape (N, 1, H, W), in [0, 1].
    """
    rows, columns = (
        torch.linspace(-1, 1, size, dtype=torch.float32).to(inputs) for size in inputs.shape[2:]
    )
    squared_distance = rows[:, None] ** 2 + columns**2
    # A quarter of the side is half a unit in these coordinates.
    gaussian = torch.exp(-squared_distance / (2 * 0.5**2))
    return gaussian.repeat(len(inputs), 1, 1, 1)


def edges(inputs: Tensor, target: Any = None) -> Tensor:
    """Sum the magnitude of the Sobel gradient over the stains.

    Args:
        inputs: Images of shape (N, C, H, W).
        target: Not looked at.

    Returns:
        Maps of shape (N, 1, H, W), not negative.
    """
    slope, blend = inputs.new_tensor([-1.0, 0.0, 1.0]), inputs.new_tensor([1.0, 2.0, 1.0])
    kernels = torch.stack([torch.outer(blend, slope), torch.outer(slope, blend)])[:, None]
    stains = F.pad(inputs.flatten(0, 1)[:, None], (1, 1, 1, 1), mode="replicate")
    magnitude: Tensor = F.conv2d(stains, kernels).norm(dim=1)
    return magnitude.reshape(inputs.shape).sum(1, keepdim=True)


def intensity(inputs: Tensor, target: Any = None) -> Tensor:
    """Sum the image itself over the stains.

    Args:
        inputs: Images of shape (N, C, H, W).
        target: Not looked at.

    Returns:
        Maps of shape (N, 1, H, W).
    """
    return inputs.sum(1, keepdim=True)


def foreground(inputs: Tensor, target: Any = None) -> Tensor:
    """Mark the pixels that stand out from the background, by Otsu's threshold.

    The distance from the image's own background (:class:`captum_pcim.Background`) is summed over
    the stains and cut where the variance between the two classes is largest (Otsu, IEEE Trans. SMC
    9, 1979), over 256 levels.

    Args:
        inputs: Images of shape (N, C, H, W).
        target: Not looked at.

    Returns:
        Maps of shape (N, 1, H, W), 0 or 1.
    """
    distance = (inputs - Background()(inputs)[0]).abs().sum(1, keepdim=True)
    thresholds = torch.stack([_otsu_threshold(image) for image in distance])
    return (distance > thresholds.view(-1, 1, 1, 1)).to(inputs)


def trivial_methods() -> dict[str, Trivial]:
    """Return all trivial baselines by their name in tables."""
    return {
        "random": random_map,
        "centre Gaussian": centre_gaussian,
        "edges": edges,
        "raw intensity": intensity,
        "foreground": foreground,
    }


def _otsu_threshold(values: Tensor) -> Tensor:
    low, high = values.min(), values.max()
    levels = low + (high - low) * torch.arange(1, N_LEVELS).to(values) / N_LEVELS
    ordered = values.flatten().sort().values
    n_below = torch.searchsorted(ordered, levels, right=True)
    sums = F.pad(ordered.double().cumsum(0), (1, 0))
    n_above = len(ordered) - n_below
    mean_below = sums[n_below] / n_below.clamp(min=1)
    mean_above = (sums[-1] - sums[n_below]) / n_above.clamp(min=1)
    between = n_below * n_above * (mean_above - mean_below) ** 2
    return levels[between.argmax()]
