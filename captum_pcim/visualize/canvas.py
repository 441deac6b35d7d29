"""Axes to draw on, given or new, and what is drawn on all of them alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

AxesLike = Axes | Sequence[Axes] | Any  # also NumPy arrays of them, as `subplots` returns

PANEL = 2.6  # inches
_NICE_LENGTHS = (1, 2, 5)


def panels(axes: AxesLike | None, rows: int, columns: int) -> list[Axes]:
    """Return `rows * columns` axes, row by row: those that were given, or of a new figure.

    Raises:
        ValueError: If another number was given.
    """
    if axes is None:
        size = (PANEL * columns, PANEL * rows + 0.6)
        figure = Figure(figsize=size, layout="constrained")
        return list(figure.subplots(rows, columns, squeeze=False).ravel())
    given = [axes] if isinstance(axes, Axes) else list(np.asarray(axes, dtype=object).ravel())
    if len(given) != rows * columns:
        raise ValueError(f"axes: expected {rows * columns}, got {len(given)}")
    return given


def figure_of(axis: Axes) -> Figure:
    """Return the figure that axes belong to, over any subfigures in between."""
    figure: Any = axis.get_figure()
    while not isinstance(figure, Figure):
        figure = figure.figure
    return figure


def show(axis: Axes, picture: Any, title: str = "", **arguments: Any) -> Any:
    """Show an array pixel by pixel, without ticks."""
    shown = axis.imshow(picture, interpolation="nearest", **arguments)
    axis.set_axis_off()
    axis.set_title(title, fontsize="small")
    return shown


def draw_scale_bar(
    axis: Axes, pixel_size: float, length: float | None = None, unit: str = "µm"
) -> Rectangle:
    """Draw a scale bar into the lower right corner of a shown image.

    Args:
        axis: Axes that an image was shown in.
        pixel_size: Length of a pixel's side, in `unit`.
        length: Length of the bar, in `unit`. Default: the longest of 1, 2, 5, 10, ... that is at
            most a third of the image's width.
        unit: What lengths are measured in.

    Returns:
        The bar; its width is `length / pixel_size` pixels.

    Raises:
        ValueError: If a length is not positive or the axes show no image.

    Examples:
        >>> figure = plot_overlay(image, attributions)
        >>> draw_scale_bar(figure.axes[0], pixel_size=0.65)
    """
    if not axis.images:
        raise ValueError("axis: expected axes that show an image, got none in them")
    height, width = axis.images[0].get_size()
    if pixel_size <= 0 or (length is not None and length <= 0):
        raise ValueError(f"pixel_size, length: expected above 0, got {pixel_size} and {length}")
    length = _nice_length(width * pixel_size / 3) if length is None else length
    bar_width, thickness, margin = length / pixel_size, 0.015 * height, 0.04 * height
    left, top = width - 0.5 - margin - bar_width, height - 0.5 - margin - thickness
    bar = Rectangle((left, top), bar_width, thickness, facecolor="white", edgecolor="black", lw=0.5)
    axis.add_patch(bar)
    label = axis.text(left + bar_width / 2, top - margin / 2, f"{length:g} {unit}", color="white",
                      ha="center", va="bottom", fontsize="x-small")  # fmt: skip
    label.set_bbox({"facecolor": "black", "alpha": 0.5, "pad": 1, "linewidth": 0})
    return bar


def _nice_length(longest: float) -> float:
    longest *= 1 + 1e-9  # a third of 30 pixels is 10, whatever its last digit
    decade: float = 10.0 ** np.floor(np.log10(longest))
    return max(n for n in _NICE_LENGTHS if n * decade <= longest) * decade
