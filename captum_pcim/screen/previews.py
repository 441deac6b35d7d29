"""Small pictures of an image and its map, as PNG."""

from __future__ import annotations

import io
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image

from captum_pcim.images.labels import Labels
from captum_pcim.images.read import FloatPixels

if TYPE_CHECKING:
    from captum_pcim.screen.settings import PreviewColours

SIDE, OUTLINES_SIDE = 256, 512


def image_preview(inputs: FloatPixels, colours: PreviewColours = "stains") -> bytes:
    """Merges the stains in colours and scales them down to at most 256 pixels a side.

    Args:
        inputs: Intensities, (C, H, W). From 0, black, to 1, full colour; where they are no such
            share, raw or z-scores, each stain goes from its darkest to its brightest pixel.
        colours: ``"rgb"`` where they are the red, green and blue of a picture.
    """
    from captum_pcim.visualize import composite

    own = None if colours == "stains" else colours
    return _png(composite(_shown(inputs), windows=(0, 1), colours=own))


def stains_preview(inputs: FloatPixels) -> bytes:
    """Draws the stains in grey, one below another, for a page to colour and to add up.

    Args:
        inputs: As of :func:`image_preview`.
    """
    shown = _shown(inputs)
    return _png(shown.reshape(-1, shown.shape[2]))


def map_preview(attributions: FloatPixels) -> bytes:
    """Draws the mean weight over the stains, black for 0 to bright for 1 in every image.

    Args:
        attributions: Weights in [0, 1], (C, H, W).
    """
    from matplotlib import colormaps

    colours = colormaps["inferno"](_shrunk(attributions).mean(axis=0))
    return _png(colours[..., :3])


def outlines_preview(labels: Labels) -> bytes:
    """Draws the outlines of objects, white on nothing, with at most 512 pixels a side.

    Args:
        labels: Object numbers, (H, W).
    """
    longest = max(labels.shape)
    step, zoom = -(-longest // OUTLINES_SIDE), max(1, OUTLINES_SIDE // longest)
    shown = labels[::step, ::step].repeat(zoom, axis=0).repeat(zoom, axis=1)
    wide = np.pad(shown, 1)  # what the image's border cuts has its outline there
    beside = (wide[:-2, 1:-1], wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:])
    edges = reduce(np.logical_or, [other != shown for other in beside])
    # Black and white, of which black is transparent: one bit a pixel.
    return _encoded((shown > 0) & edges, transparency=0)


def stain_colours(n_stains: int, colours: PreviewColours) -> list[str]:
    """The colour of each stain, as ``#rrggbb``."""
    from matplotlib.colors import to_hex

    from captum_pcim.visualize.colours import colour_names, colour_values

    own = None if colours == "stains" else colours
    return [to_hex(value) for value in colour_values(colour_names(n_stains, own))]


def _shown(inputs: FloatPixels) -> FloatPixels:
    small = _shrunk(inputs)
    if small.min() < 0 or small.max() > 1:
        low, high = small.min(axis=(1, 2), keepdims=True), small.max(axis=(1, 2), keepdims=True)
        small = (small - low) / np.maximum(high - low, 1e-6)
    return small


def _shrunk(planes: FloatPixels) -> FloatPixels:
    height, width = planes.shape[1:]
    factor = max(height, width) / SIDE
    if factor <= 1:
        return planes
    size = (max(1, int(height / factor)), max(1, int(width / factor)))
    small = F.interpolate(torch.from_numpy(planes)[None], size=size, mode="area")
    return np.asarray(small[0].numpy())


def _png(shares: npt.NDArray[np.floating]) -> bytes:
    return _encoded((np.clip(shares, 0, 1) * 255 + 0.5).astype(np.uint8))


def _encoded(pixels: npt.NDArray[Any], **options: Any) -> bytes:
    content = io.BytesIO()
    # The fastest compression: the default takes twice as long for files a tenth smaller.
    Image.fromarray(pixels).save(content, format="PNG", compress_level=1, **options)
    return content.getvalue()
