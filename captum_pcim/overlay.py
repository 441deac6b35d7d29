"""A map laid over its image, as a PNG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.floating]

_COLOUR = (1.0, 0.35, 0.0)
_OPACITY = 0.65


def overlay_png(image: FloatArray, weights: FloatArray) -> bytes:
    """Draw the image in grey and the weights over it in orange, more opaque where higher.

    Args:
        image: Intensities of shape (C, H, W), shown as the mean over stains between their 1st
            and 99.8th percentile.
        weights: In [0, 1], of shape (H, W) or (C, H, W); of several stains the largest is shown.

    Returns:
        The PNG file's bytes.
    """
    import numpy as np
    from PIL import Image

    low, high = np.percentile(image, (1, 99.8), axis=(1, 2), keepdims=True)
    grey = np.clip((image - low) / np.maximum(high - low, 1e-12), 0, 1).mean(axis=0)[..., None]
    opacity = _OPACITY * weights.reshape(-1, *weights.shape[-2:]).max(axis=0)[..., None]
    colours = (1 - opacity) * grey + opacity * np.array(_COLOUR)
    stream = io.BytesIO()
    Image.fromarray(np.round(255 * colours).astype(np.uint8)).save(stream, format="PNG")
    return stream.getvalue()
