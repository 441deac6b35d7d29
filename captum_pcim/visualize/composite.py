"""Stains as colours: windows, merges of one to six stains, and a map laid over its image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

STAIN_COLOURS: dict[str, tuple[float, float, float]] = {
    "magenta": (1.0, 0.0, 1.0),
    "green": (0.0, 1.0, 0.0),
    "cyan": (0.0, 1.0, 1.0),
    "yellow": (1.0, 1.0, 0.0),
    "grey": (1.0, 1.0, 1.0),
    "orange": (1.0, 0.5, 0.0),
}
"""Colours of stains in a merge, in order. Two stains are magenta and green and meet in white, which
those who cannot tell red from green can read."""

MAP_COLOUR = (1.0, 0.35, 0.0)
MAP_OPACITY = 0.65  # where the map is highest


def percentile_windows(images: Any, low: float = 1.0, high: float = 99.8) -> FloatArray:
    """Read the intensity window of each stain off one image, or off all images of a plate.

    Args:
        images: One image (C, H, W), or with `images.ndim == 4` a batch (N, C, H, W). For stacks
            pass a batch (N, C, D, H, W).
        low: Percentile that is drawn black, in [0, 100].
        high: Percentile that is drawn at full brightness, in [0, 100].

    Returns:
        Windows of shape (C, 2), to be passed on as `windows`, so that images of a plate can be
        compared by eye.

    Raises:
        ValueError: If `images` has no such shape or the percentiles are not in order.

    Examples:
        >>> percentile_windows(torch.linspace(0, 100, 101).reshape(1, 1, 101), 10, 90)
        array([[10., 90.]])
    """
    if not 0 <= low < high <= 100:
        raise ValueError(f"low, high: expected 0 <= low < high <= 100, got {low} and {high}")
    pixels = to_numpy(images)
    if pixels.ndim not in (3, 4, 5):
        raise ValueError(f"images: expected (C, H, W) or (N, C, *spatial), got {pixels.shape}")
    stains = pixels if pixels.ndim == 3 else np.moveaxis(pixels, 1, 0)
    window: FloatArray = np.percentile(stains.reshape(len(stains), -1), (low, high), axis=1).T
    return window


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
    stains = _projected(image)
    given = percentile_windows(stains) if windows is None else np.asarray(windows, dtype=float)
    if given.shape not in ((2,), (len(stains), 2)):
        raise ValueError(
            f"windows: expected one pair or {len(stains)} pairs, one per stain, got {given.shape}"
        )
    low, high = np.broadcast_to(given, (len(stains), 2)).T[..., None, None]
    stretched: FloatArray = np.clip((stains - low) / np.maximum(high - low, 1e-12), 0, 1)
    return stretched


def composite(
    image: Any, windows: ArrayLike | None = None, colours: Sequence[str] | None = None
) -> FloatArray:
    """Merge stains into one picture: a single stain in grey, several in additive colours.

    Args:
        image: Image of shape (C, H, W) with 1 to 6 stains, or a stack (C, D, H, W), which is
            projected first.
        windows: As in :func:`stretch`.
        colours: Names out of :data:`STAIN_COLOURS`, one per stain. Default: grey for one stain, the
            first C otherwise.

    Returns:
        Picture of shape (H, W, 3), in [0, 1].

    Raises:
        ValueError: If there are more than 6 stains or colours do not fit them.

    Examples:
        >>> composite(torch.ones(2, 1, 1), windows=(0, 1))
        array([[[1., 1., 1.]]])
    """
    stains = stretch(image, windows)
    merged: FloatArray = np.einsum("chw,ck->hwk", stains, _colours(len(stains), colours))
    return np.minimum(merged, 1)


def colour_names(n_stains: int) -> list[str]:
    """Return the names of the colours of this many stains."""
    if not 1 <= n_stains <= len(STAIN_COLOURS):
        raise ValueError(f"image: expected 1 to {len(STAIN_COLOURS)} stains, got {n_stains}")
    return ["grey"] if n_stains == 1 else list(STAIN_COLOURS)[:n_stains]


def overlay(
    image: Any, attributions: Any, windows: ArrayLike | None = None, vmax: float | None = None
) -> FloatArray:
    """Lay a map over its image: the image in grey, the map in orange, more opaque where higher.

    Args:
        image: As in :func:`composite`, with any number of stains.
        attributions: As in :func:`display_map`; negative values are not drawn.
        windows: As in :func:`stretch`.
        vmax: Attribution that is drawn with full opacity. Default: the map's maximum.

    Returns:
        Picture of shape (H, W, 3), in [0, 1].

    Raises:
        ValueError: If map and image differ in size.
    """
    grey = stretch(image, windows).mean(0)[..., None]
    relevance = display_map(attributions, grey.shape[:2])
    top = relevance.max() if vmax is None else vmax
    opacity = MAP_OPACITY * np.clip(relevance / max(top, 1e-12), 0, 1)[..., None]
    picture: FloatArray = (1 - opacity) * grey + opacity * np.array(MAP_COLOUR)
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
    values = values if values.ndim == 2 else values.mean(0)
    values = values if values.ndim == 2 else values.max(0)
    if size is not None and values.shape != size:
        raise ValueError(f"attributions: expected a map of {size} pixels, got {values.shape}")
    return values


def to_numpy(values: Any) -> FloatArray:
    """Return a tensor, on any device, or an array as an array of floats."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().double()
    return np.asarray(values, dtype=float)


def _projected(image: Any) -> FloatArray:
    pixels = to_numpy(image)
    if pixels.ndim not in (3, 4):
        raise ValueError(f"image: expected (C, H, W) or (C, D, H, W), got {pixels.shape}")
    return pixels if pixels.ndim == 3 else pixels.max(1)


def _colours(n_stains: int, names: Sequence[str] | None) -> FloatArray:
    chosen = colour_names(n_stains) if names is None else list(names)
    unknown = [name for name in chosen if name not in STAIN_COLOURS]
    if unknown or len(chosen) != n_stains:
        raise ValueError(
            f"colours: expected {n_stains} names out of {list(STAIN_COLOURS)}, got {chosen}"
        )
    return np.array([STAIN_COLOURS[name] for name in chosen])
