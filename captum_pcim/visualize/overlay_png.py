"""A map laid over its image, as a PNG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

if TYPE_CHECKING:
    from captum_pcim.visualize.colours import Colours

FloatArray = npt.NDArray[np.floating]


def overlay_png(image: FloatArray, weights: FloatArray, colours: Colours = None) -> bytes:
    """Draw the image in grey and the weights over it in orange, most opaque where they are 1.

    Args:
        image: Intensities of shape (C, H, W), shown as the mean over stains between their 1st
            and 99.8th percentile, or in its own colours.
        weights: In [0, 1], of shape (H, W) or (C, H, W); of several stains the mean is shown.
        colours: As in :func:`captum_pcim.visualize.overlay`.

    Returns:
        The PNG file's bytes.
    """
    from captum_pcim.visualize import overlay

    picture = overlay(image, weights, vmax=1.0, colours=colours)
    stream = io.BytesIO()
    Image.fromarray(np.round(255 * picture).astype(np.uint8)).save(stream, format="PNG")
    return stream.getvalue()
