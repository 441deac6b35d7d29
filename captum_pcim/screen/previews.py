"""Small pictures of an image and its map, as PNG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from captum_pcim.data.images import FloatPixels

SIDE = 256
# Told apart by colour-blind readers; one stain alone is grey.
COLOURS = ((1, 0, 1), (0, 1, 0), (0, 1, 1), (1, 1, 0), (1, 0.5, 0), (0.5, 0.5, 1))


def image_preview(inputs: FloatPixels) -> bytes:
    """Merges the stains in colours and scales them down to at most 256 pixels a side.

    Args:
        inputs: Intensities, (C, H, W). Below 0 is black, above 1 is full colour.
    """
    small = np.clip(_shrunk(inputs), 0, 1)
    colours = np.array([COLOURS[i % len(COLOURS)] for i in range(len(small))])
    if len(small) == 1:
        colours = np.ones((1, 3))
    return _png(np.clip(np.einsum("chw,ck->hwk", small, colours), 0, 1))


def map_preview(attributions: FloatPixels) -> bytes:
    """Draws the mean weight over the stains, black for 0 to bright for 1 in every image.

    Args:
        attributions: Weights in [0, 1], (C, H, W).
    """
    from matplotlib import colormaps

    return _png(colormaps["inferno"](_shrunk(attributions).mean(axis=0))[..., :3])


def _shrunk(planes: FloatPixels) -> FloatPixels:
    import torch
    import torch.nn.functional as F

    height, width = planes.shape[1:]
    factor = max(height, width) / SIDE
    if factor <= 1:
        return planes
    size = (max(1, int(height / factor)), max(1, int(width / factor)))
    small = F.interpolate(torch.from_numpy(planes)[None], size=size, mode="area")
    return np.asarray(small[0].numpy())


def _png(colours: npt.NDArray[np.float64]) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray((colours * 255 + 0.5).astype(np.uint8)).save(content, format="PNG")
    return content.getvalue()
