"""Intensities as the network was trained on them.

Every scaling is linear, ``(x - low) / (high - low)`` with a window of each stain; what differs is
where its ends come from, and whether what lies outside is clipped. All commands and screens use the
same words:

- ``type`` (default): 0 to the largest value of the type (255, 65535); floats are kept.
- ``raw``: 0 to 1 without clipping, intensities as they are stored.
- ``fixed``: given windows, one a stain.
- ``percentiles``: measured; clipped as given windows are.
- ``zscore``: the mean becomes 0, one standard deviation above it 1, nothing is clipped.
- ``table``: from a file, for each plate and stain, windows or means and deviations.

Percentiles, means and deviations are measured over each ``image``, over its ``plate``, or over the
plate's ``controls``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypeVar

import numpy as np

from captum_pcim.images.stack import FloatPixels, ImageError, Pixels
from captum_pcim.images.windows import RAW, ZSCORE, Window

Item = TypeVar("Item")
Scale = Literal["type", "raw", "fixed", "percentiles", "zscore", "table"]
Over = Literal["image", "plate", "controls"]
PERCENTILES = (0.1, 99.9)
PIXELS_PER_IMAGE = 2**16  # of each of several images: evenly spread, the same every time
IMAGES_MEASURED = 16  # of a plate, evenly spread


def scale(pixels: Pixels, windows: Sequence[Window] = ()) -> FloatPixels:
    """Turn stored intensities into the floats a network takes.

    Without a window, integers are divided by the largest value of their type (255 for 8 bit,
    65535 for 16 bit, even where a camera filled 12 of them) and floats are kept. With one,
    ``(x - low) / (high - low)``, clipped to [0, 1] where the window says so.

    Args:
        pixels: Array of shape (C, H, W).
        windows: None, one for all stains, or one a stain. Percentiles, means and deviations are
            measured on these pixels.

    Returns:
        float32 array of shape (C, H, W).

    Raises:
        ImageError: If the number of windows does not fit, an intensity is not finite, or what
            an image's window is measured by is a single intensity.
    """
    scaled = np.empty(pixels.shape, dtype=np.float32)
    for index, (stain, window) in enumerate(zip(pixels, applied(pixels, windows), strict=True)):
        values = (stain.astype(np.float64) - window.low) / (window.high - window.low)
        scaled[index] = np.clip(values, 0, 1) if window.clip else values
    return scaled


def applied(pixels: Pixels, windows: Sequence[Window] = ()) -> list[Window]:
    """The windows that :func:`scale` applies, one a stain and all of them intensities.

    Raises:
        ImageError: As :func:`scale`.
    """
    if len(windows) not in (0, 1, len(pixels)):
        raise ImageError(f"{len(windows)} windows for {len(pixels)} stains")
    if not windows:
        whole = np.issubdtype(pixels.dtype, np.integer)
        return [Window(0, np.iinfo(pixels.dtype).max if whole else 1, clip=False)] * len(pixels)
    found = []
    for index, stain in enumerate(pixels):
        window = windows[index % len(windows)]
        low, high = window.ends(stain)
        if low >= high:
            kind = "both percentiles" if window.percent else "the mean and all intensities"
            raise ImageError(f"stain {index}: {kind} of the window are {low:g}")
        found.append(Window(low, high, clip=window.clip))
    return found


def measure(windows: Sequence[Window], images: Iterable[Pixels]) -> list[Window]:
    """Measure windows over several images together.

    Args:
        windows: One for all stains, or one a stain.
        images: Arrays of shape (C, H, W) in the stored type.

    Returns:
        One window a stain, all of them intensities. A stain of one single intensity becomes 0:
        there is nothing to see in it.

    Raises:
        ImageError: There is no image, they differ in their type or in their number of stains, or
            the number of windows does not fit.
    """
    seen, kinds = [], set()
    for pixels in images:
        kinds.add(str(pixels.dtype))
        flat = pixels.reshape(len(pixels), -1)
        seen.append(flat[:, :: max(1, flat.shape[1] // PIXELS_PER_IMAGE)])
    if not seen:
        raise ImageError("no image to measure the windows on can be read")
    if len(kinds) > 1:
        raise ImageError(
            f"the images hold {', '.join(sorted(kinds))}, which have no window in common: measure "
            "over each image, or keep them apart"
        )
    if len({len(flat) for flat in seen}) > 1:
        raise ImageError(f"the images have {sorted({len(flat) for flat in seen})} stains")
    if len(windows) not in (1, len(seen[0])):
        raise ImageError(f"{len(windows)} windows for {len(seen[0])} stains")
    found = []
    for index, values in enumerate(np.concatenate(seen, axis=1)):
        window = windows[index % len(windows)]
        low, high = window.ends(values)
        found.append(Window(low, max(high, low + 1e-6), clip=window.clip))
    return found


def templates(
    scale: Scale, percentiles: Sequence[float] = (), fixed: Sequence[Window | None] = (None,)
) -> list[Window]:
    """The windows that a word stands for, those to be measured still without their ends.

    Args:
        scale: Any of the words but ``table``, whose windows stand in the file.
        percentiles: Low and high, for ``percentiles``. Default: 0.1 and 99.9.
        fixed: Given windows, one for all stains or one a stain, None for those that have none.

    Returns:
        One for all stains or one a stain; none for ``type``.
    """
    low, high = percentiles or PERCENTILES
    every = {"raw": RAW, "percentiles": Window(low, high, percent=True), "zscore": ZSCORE}
    if scale == "type":
        return []
    return [window or every[scale] for window in fixed]


def in_words(scale: Scale, windows: Sequence[Window], over: Over) -> str:
    """What is done to intensities, for tables.

    Args:
        scale: The word.
        windows: As :func:`templates` returns them.
        over: What they are measured over.
    """
    ends = [f"{w.low:g} to {w.high:g}" for w in windows if w.percent]
    word = f"{scale} {', '.join(dict.fromkeys(ends))}" if ends else scale
    return f"{word} over {over}" if any(window.measured for window in windows) else word


def window_columns(stains: Sequence[str], windows: Sequence[Window]) -> dict[str, float]:
    """The columns of an image for the intensities that became 0 and 1.

    Args:
        stains: Their names; where there are none, they are counted from 1.
        windows: One a stain.
    """
    names = stains or [str(number + 1) for number in range(len(windows))]
    columns: dict[str, float] = {}
    for name, window in zip(names, windows, strict=True):
        columns |= {f"Window_Low_{name}": window.low, f"Window_High_{name}": window.high}
    return columns


def evenly(items: Sequence[Item], count: int) -> tuple[Item, ...]:
    """At most ``count`` items, evenly spread over all."""
    if len(items) <= count:
        return tuple(items)
    return tuple(items[i * len(items) // count] for i in range(count))
