"""What colour each stain has in a picture, and which intensities are its dark and its bright."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import hsv_to_rgb, is_color_like, to_hex, to_rgb
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
Colours = Sequence[str] | str | None

STAIN_COLOURS: dict[str, tuple[float, float, float]] = {
    "magenta": (1.0, 0.0, 1.0),
    "green": (0.0, 1.0, 0.0),
    "cyan": (0.0, 1.0, 1.0),
    "yellow": (1.0, 1.0, 0.0),
    "grey": (1.0, 1.0, 1.0),
    "orange": (1.0, 0.5, 0.0),
}
"""Colours of stains in a merge, in order. Two stains are magenta and green and meet in white, which
those who cannot tell red from green can read. From the seventh on, stains have pale hues, evenly
spread."""

RGB = "rgb"
_RGB_NAMES = ("red", "green", "blue")
_RANGES = (1.0, 255.0)  # where the colours of photographs end
_PALE = 0.5


def colour_names(n_stains: int, colours: Colours = None) -> list[str]:
    """Return one colour per stain, a name of :data:`STAIN_COLOURS` or one that Matplotlib knows.

    Args:
        n_stains: Number of stains.
        colours: As in :func:`captum_pcim.visualize.composite`.

    Raises:
        ValueError: If colours do not fit the stains, or are none.
    """
    if n_stains < 1:
        raise ValueError("image: expected at least one stain, got none")
    if colours is None:
        return ["grey"] if n_stains == 1 else _default_names(n_stains)
    chosen = list(_RGB_NAMES if is_rgb(colours) else colours)
    unknown = [c for c in chosen if c not in STAIN_COLOURS and not is_color_like(c)]
    if unknown or len(chosen) != n_stains:
        raise ValueError(
            f"colours: expected {RGB!r} for three stains, or {n_stains} out of "
            f"{list(STAIN_COLOURS)} or of Matplotlib's colours, got {colours!r} for {n_stains}"
        )
    return chosen


def default_stain_names(n_stains: int, colours: Colours) -> list[str]:
    """Return what stains are called that were not named."""
    if is_rgb(colours):
        return list(_RGB_NAMES)
    return [f"stain {i}" for i in range(n_stains)]


def colour_values(names: Sequence[str]) -> FloatArray:
    """Return the colours of these names, of shape (C, 3), in [0, 1]."""
    return np.array([STAIN_COLOURS.get(name) or to_rgb(name) for name in names])


def is_rgb(colours: Colours) -> bool:
    """Tell whether the stains are red, green and blue of one picture.

    Raises:
        ValueError: If it is another word.
    """
    if isinstance(colours, str) and colours != RGB:
        raise ValueError(f"colours: expected {RGB!r} or one colour per stain, got {colours!r}")
    return isinstance(colours, str)


def default_windows(images: Any, colours: Colours) -> FloatArray:
    """Return the windows of images whose windows were not given.

    Colours of one picture share one window, or they would turn: all there is between 0 and 1, or
    0 and 255, where they lie in there; percentiles of all three together where they do not, as
    when they were standardised.

    Args:
        images: A batch (N, C, *spatial).
        colours: As in :func:`captum_pcim.visualize.composite`.
    """
    if not is_rgb(colours):
        return percentile_windows(images)
    pixels = to_numpy(images)
    for end in _RANGES:
        if pixels.min() >= 0 and pixels.max() <= end:
            return np.array([0, end])
    window: FloatArray = percentile_windows(pixels.reshape(1, 1, -1, 1))[0]
    return window


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


def chosen_windows(images: Any, windows: ArrayLike | None, colours: Colours) -> ArrayLike:
    """Return the windows that were given, or those of the images."""
    return default_windows(images, colours) if windows is None else windows


def to_numpy(values: Any) -> FloatArray:
    """Return a tensor, on any device, or an array as an array of floats."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().double()
    return np.asarray(values, dtype=float)


def _default_names(n_stains: int) -> list[str]:
    n_further = max(0, n_stains - len(STAIN_COLOURS))
    hues = (np.arange(n_further) + 0.5) / max(1, n_further)
    further = [to_hex(hsv_to_rgb((hue, _PALE, 1))) for hue in hues]
    return [*list(STAIN_COLOURS)[:n_stains], *further]
