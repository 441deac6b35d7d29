"""Stains as one picture: stretched, merged in their colours, and with a map laid over it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from captum_pcim.core.warn import warn
from captum_pcim.visualize.colours import (
    Colours,
    FloatArray,
    chosen_windows,
    colour_names,
    colour_values,
    percentile_windows,
    to_numpy,
)

FEW = 6  # stains, or colours: so many planes hardly make a stack
MAP_COLOUR = (1.0, 0.35, 0.0)
MAP_OPACITY = 0.65  # where the map is highest


def stretch(image: Any, windows: ArrayLike | None = None) -> FloatArray:
    """Stretch each stain from its window to [0, 1], clipping what lies outside.

    Args:
        image: Image of shape (C, H, W), or a stack (C, D, H, W), which is projected first.
        windows: Lowest and highest intensity of each stain, shape (C, 2), or one pair for all.
            Default: :func:`percentile_windows` of the image itself.

    Returns:
        Stains of shape (C, H, W), in [0, 1].

    Raises:
        ValueError: If image or windows do not have such shapes.
    """
    stains = projected(image)
    given = percentile_windows(stains) if windows is None else np.asarray(windows, dtype=float)
    if given.shape not in ((2,), (len(stains), 2)):
        raise ValueError(
            f"windows: expected one pair or {len(stains)} pairs, one per stain, got {given.shape}"
        )
    low, high = np.broadcast_to(given, (len(stains), 2)).T[..., None, None]
    if not (low <= high).all():
        raise ValueError(f"windows: expected low <= high, got {given.tolist()}")
    stretched: FloatArray = np.clip((stains - low) / np.maximum(high - low, 1e-12), 0, 1)
    return stretched


def composite(image: Any, windows: ArrayLike | None = None, colours: Colours = None) -> FloatArray:
    """Merge stains into one picture: a single stain in grey, several in additive colours.

    Args:
        image: Image of shape (C, H, W), or a stack (C, D, H, W), which is projected first.
        windows: As in :func:`stretch`; of "rgb" one window for all three.
        colours: "rgb" where the three stains are the red, green and blue of a picture, which is
            then drawn as it is. Or one colour per stain, out of :data:`STAIN_COLOURS` or any that
            Matplotlib knows. Default: grey for one stain, the first C otherwise.

    Returns:
        Picture of shape (H, W, 3), in [0, 1].

    Raises:
        ValueError: If colours do not fit the stains.

    Examples:
        >>> composite(torch.ones(2, 1, 1), windows=(0, 1))
        array([[[1., 1., 1.]]])
    """
    pixels = projected(image)
    values = colour_values(colour_names(len(pixels), colours))
    stains = stretch(pixels, chosen_windows(pixels[None], windows, colours))
    merged: FloatArray = np.einsum("chw,ck->hwk", stains, values)
    return np.minimum(merged, 1)


def overlay(
    image: Any,
    attributions: Any,
    windows: ArrayLike | None = None,
    vmax: float | None = None,
    colours: Colours = None,
) -> FloatArray:
    """Lay a map over its image: the image in grey, the map in orange, more opaque where higher.

    Args:
        image: As in :func:`composite`.
        attributions: As in :func:`display_map`; negative values are not drawn.
        windows: As in :func:`stretch`.
        vmax: Attribution that is drawn with full opacity. Default: the map's maximum.
        colours: As in :func:`composite`, to have the image in colours. Default: the mean of the
            stains in grey.

    Returns:
        Picture of shape (H, W, 3), in [0, 1].

    Raises:
        ValueError: If map and image differ in size.
    """
    if colours is None:
        below = stretch(image, windows).mean(0)[..., None]
    else:
        below = composite(image, windows, colours)
    relevance = display_map(attributions, below.shape[:2])
    top = relevance.max() if vmax is None else vmax
    opacity = MAP_OPACITY * np.clip(relevance / max(top, 1e-12), 0, 1)[..., None]
    picture: FloatArray = (1 - opacity) * below + opacity * np.array(MAP_COLOUR)
    return picture


def display_map(attributions: Any, size: tuple[int, ...] | None = None) -> FloatArray:
    """Reduce attributions of one image to the map that is drawn.

    Args:
        attributions: Of shape (H, W), (C, H, W) or (C, D, H, W). Stains are averaged, which leaves
            weights shared over stains as they are; of stacks the maximum over depth is taken.
        size: Height and width that are expected.

    Returns:
        Map of shape (H, W).

    Raises:
        ValueError: If the shape is another, or a value is not finite.
    """
    values = to_numpy(attributions)
    if values.ndim not in (2, 3, 4):
        raise ValueError(
            f"attributions: expected one map (H, W), (C, H, W) or (C, D, H, W), got {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError("attributions: expected finite values, got NaN or infinity")
    _warn_of_batch("attributions", values)
    values = values if values.ndim == 2 else values.mean(0)
    values = values if values.ndim == 2 else values.max(0)
    if size is not None and values.shape != size:
        raise ValueError(f"attributions: expected a map of {size} pixels, got {values.shape}")
    return values


def projected(image: Any) -> FloatArray:
    """Return an image as it is, and the maximum projection of a stack."""
    pixels = to_numpy(image)
    if pixels.ndim not in (3, 4):
        raise ValueError(f"image: expected (C, H, W) or (C, D, H, W), got {pixels.shape}")
    if not np.isfinite(pixels).all():  # one would make its whole stain black
        raise ValueError("image: expected finite values, got NaN or infinity")
    _warn_of_batch("image", pixels)
    if pixels.ndim == 3 and pixels.shape[2] <= FEW < min(pixels.shape[:2]):
        warn(
            f"image: {pixels.shape} is drawn as {pixels.shape[0]} stains, (C, H, W); if its "
            "channels stand last, pass np.moveaxis(image, -1, 0)"
        )
    return pixels if pixels.ndim == 3 else pixels.max(1)


def _warn_of_batch(name: str, values: FloatArray) -> None:
    if values.ndim == 4 and values.shape[1] <= FEW:
        warn(
            f"{name}: {values.shape} is drawn as a stack of {values.shape[1]} planes, "
            f"(C, D, H, W); of a batch (N, C, H, W) pass one image, {name}[0]"
        )
