"""A map laid over its image, as a PNG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.floating]


def overlay_png(image: FloatArray, weights: FloatArray) -> bytes:
    """Draw the image in grey and the weights over it in orange, most opaque where they are 1.

    Args:
        image: Intensities of shape (C, H, W), shown as the mean over stains between their 1st
            and 99.8th percentile.
        weights: In [0, 1], of shape (H, W) or (C, H, W); of several stains the mean is shown.

    Returns:
        The PNG file's bytes.
    """
    import numpy as np
    from PIL import Image

    from captum_pcim.visualize import overlay

    colours = overlay(image, weights, vmax=1.0)
    stream = io.BytesIO()
    Image.fromarray(np.round(255 * colours).astype(np.uint8)).save(stream, format="PNG")
    return stream.getvalue()
