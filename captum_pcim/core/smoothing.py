r"""Smooth logits: they are trained on grids of nodes, which Gaussians spread over the pixels.

Free weights per pixel find adversarial dust, not cells. Smoothing is linear and separable: along
each spatial axis one matrix :math:`M \in R^{size \times nodes}` spreads a grid's nodes over the
pixels,

.. math:: M_{ij} \propto \exp\left(-\frac{(i - u_j)^2}{2 \sigma^2}\right), \quad
          \sum_j M_{ij} = 1,

with nodes :math:`u_j` about `spacing` pixels apart. With spacing 1 this is a Gaussian filter of a
full-resolution map, normalised at the borders. The same matrices serve signals, images and stacks.
Which grids there are, and how they add up, stands in :mod:`captum_pcim.core.grids`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from captum_pcim.core.checks import is_number

SCALES = ((0.5, 0.3), (1.0, 0.6), (2.0, 1.0))
# Processors take a hundred times as long for denormal numbers as for others, and the far tails of a
# Gaussian are such numbers, or make them of a small gradient. What is left out is below this, in
# units of the smallest normal number: 1e-20 in single precision.
ABOVE_DENORMAL = 1e18


@dataclass(frozen=True)
class Smoothing:
    """How smooth the weights are, in space and in intensity.

    Args:
        sigma (float or None): Standard deviation of the middle one of the Gaussians, in pixels.
            0 turns smoothing off; None takes 1/32 of the shorter side of the image, of a plane of
            a stack, and 0 below 16 pixels.
        spacing (float): Distance of a grid's nodes in units of its Gaussian's deviation. Up to
            about 1 the result does not differ visibly from a full-resolution Gaussian, at a
            fraction of its work.
        scales (sequence of (float, float)): The Gaussians: deviation in units of sigma, and the
            weight of that grid in the sum. One grid alone is ``[(1, 1)]``.
        n_bins (int): Bins of the grid that also knows the pixels' intensity; 0 leaves it out, for
            images whose intensities mean nothing.

    Examples:
        >>> pcim = PCIM(model, smoothing=Smoothing(1.5))  # for structures of a few pixels
    """

    sigma: float | None = None
    spacing: float = 1.0
    scales: Sequence[tuple[float, float]] = SCALES
    n_bins: int = 5

    def __post_init__(self) -> None:
        """Check the settings where they are given, not where they are used."""
        if self.sigma is not None and not (is_number(self.sigma) and 0 <= self.sigma < math.inf):
            raise ValueError(f"sigma: expected pixels >= 0 or None, got {self.sigma!r}")
        if not (is_number(self.spacing) and 0 < self.spacing <= 3):
            raise ValueError(f"spacing: expected (0, 3] in units of sigma, got {self.spacing!r}")
        if not self.scales or not all(map(_is_scale, self.scales)):
            raise ValueError(f"scales: expected pairs of numbers above 0, got {self.scales!r}")
        whole = isinstance(self.n_bins, (int, np.integer))
        if not whole or (self.n_bins != 0 and not 2 <= self.n_bins <= 64):
            raise ValueError(f"n_bins: expected 2 to 64, or 0 for none, got {self.n_bins!r}")

    def pixels(self, spatial: Sequence[int]) -> float:
        """Return sigma in pixels for images of this spatial size.

        Raises:
            ValueError: If the images are smaller than the smoothing that was asked for.
        """
        side = shorter_side(spatial)
        if self.sigma is None:
            return side / 32 if side >= 16 else 0.0
        if self.sigma >= side > 1:
            raise ValueError(
                f"smoothing: expected sigma below the image's shorter side, got sigma "
                f"{self.sigma:g} px for spatial size {tuple(spatial)}"
            )
        return self.sigma

    def matrices(
        self, like: Tensor, spatial: Sequence[int], scale: float = 1.0
    ) -> tuple[Tensor, ...]:
        """Return one (size, nodes) matrix per spatial axis; empty where nothing is smoothed.

        Args:
            like (Tensor): Of the matrices' dtype (single or double precision) and device.
            spatial (sequence of int): The size of the images.
            scale (float): Standard deviation of the Gaussian in units of sigma.
        """
        sigma = scale * self.pixels(spatial)
        if sigma == 0:
            return ()
        return tuple(gaussian_matrix(size, sigma, self.spacing * sigma, like) for size in spatial)


def _is_scale(pair: Any) -> bool:
    whole = isinstance(pair, Sequence) and len(pair) == 2
    return whole and all(is_number(value) and 0 < value < math.inf for value in pair)


def shorter_side(spatial: Sequence[int]) -> int:
    """Return the shorter side of an image, or of the planes of a stack, not counting ones."""
    return min((size for size in spatial[-2:] if size > 1), default=1)


def gaussian_matrix(size: int, sigma: float, spacing: float, like: Tensor) -> Tensor:
    """Return the row-normalised Gaussian matrix from evenly spaced nodes to `size` pixels."""
    n_nodes = min(size, max(2, math.ceil(size / spacing) + 1)) if size > 1 else 1
    pixels = torch.arange(size, dtype=torch.float64)
    nodes = torch.linspace(0, size - 1, n_nodes, dtype=torch.float64)
    weights = torch.exp(-((pixels[:, None] - nodes[None, :]) ** 2) / (2 * sigma**2))
    weights[weights < ABOVE_DENORMAL * torch.finfo(like.dtype).tiny] = 0
    return (weights / weights.sum(1, keepdim=True)).to(like)


def spread(logits: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Spread logits on the grid's nodes over the pixels.

    Args:
        logits (Tensor): Logits of shape (N, C, *nodes).
        matrices (sequence of Tensor): From :meth:`Smoothing.matrices`; empty leaves the logits
            as they are.

    Returns:
        Tensor: Smooth logits of shape (N, C, *spatial).
    """
    for axis, matrix in reversed([*enumerate(matrices, start=2)]):
        logits = _along(axis, matrix, logits)
    return logits


def _along(axis: int, matrix: Tensor, logits: Tensor) -> Tensor:
    if axis < logits.ndim - 1:
        return (matrix @ logits.movedim(axis, -2)).movedim(-2, axis)
    # By images, which need not lie side by side in memory: matmul would copy them first.
    rows = logits.flatten(1, -2)
    spread_rows = torch.bmm(rows, matrix.T.expand(len(rows), -1, -1))
    return spread_rows.view(*logits.shape[:-1], len(matrix))
