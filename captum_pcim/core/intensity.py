"""What is read off the intensities of an image: its quantiles, and how bright each pixel is."""

import math

import torch
from torch import Tensor

from captum_pcim.core.blur import gaussian_blur

DARKEST, BRIGHTEST = 0.005, 0.995
GRAIN = 0.5  # standard deviation in pixels of the Gaussian that takes the camera's noise off


def quantile(pixels: Tensor, share: float) -> Tensor:
    """Return the (lower) quantile over the last axis; torch.quantile refuses large images."""
    k = 1 + math.floor(share * (pixels.shape[-1] - 1))
    return pixels.kthvalue(k, dim=-1).values


def brightness(images: Tensor) -> Tensor:
    """Return how bright each pixel is among those of its image and stain, in [0, 1].

    The intensity between the .5 and the 99.5 % quantile, under a square root, so that a dim cell
    and a bright one of the same stain are not as far apart as their photons, after a Gaussian of
    half a pixel against the camera's noise. The rule is ours.

    Args:
        images (Tensor): Of shape (N, C, *spatial).
    """
    pixels = images.flatten(2)
    low, high = quantile(pixels, DARKEST), quantile(pixels, BRIGHTEST)
    shape = (*images.shape[:2], *[1] * (images.ndim - 2))
    low, high = low.view(shape), high.view(shape)
    tiny = torch.finfo(images.dtype).tiny
    relative = ((images - low) / (high - low).clamp_min(tiny)).clamp(0, 1)
    return gaussian_blur(relative.sqrt(), GRAIN)


def bin_shares(guide: Tensor, n_bins: int) -> Tensor:
    """Return how much of every pixel belongs to each of evenly spaced bins of its brightness.

    A pixel lies between two bins and is shared out linearly, as in the bilateral grid (Chen, Paris
    and Durand, SIGGRAPH 2007).

    Args:
        guide (Tensor): Brightness in [0, 1], of shape (N, C, *spatial).
        n_bins (int): At least 2.

    Returns:
        Tensor: Shares that add up to 1, of shape (N, C, n_bins, *spatial).
    """
    places = torch.arange(n_bins, dtype=guide.dtype, device=guide.device)
    places = places.view(-1, *[1] * (guide.ndim - 2))
    return (1 - (guide.unsqueeze(2) * (n_bins - 1) - places).abs()).clamp_min(0)
