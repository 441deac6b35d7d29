"""An explanation at a glance: image, map, map over image, and contours, a row per image."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from captum_pcim.visualize.canvas import AxesLike, figure_of, panels, show
from captum_pcim.visualize.colours import Colours, chosen_windows
from captum_pcim.visualize.composite import composite, display_map
from captum_pcim.visualize.maps import MASSES, plot_contours, plot_map, plot_overlay


def plot_explanation(
    image: Any,
    attributions: Any,
    windows: ArrayLike | None = None,
    vmax: float | None = None,
    masses: Sequence[float] = MASSES,
    axes: AxesLike | None = None,
    verdict: str = "",
    colours: Colours = None,
) -> Figure:
    """Draw image, map, map over image, and contours of one image side by side.

    Args:
        image: Image of shape (C, H, W); for more, and for stacks, see :func:`plot_explanations`.
        attributions: One map, as in :func:`captum_pcim.visualize.display_map`.
        windows: As in :func:`captum_pcim.visualize.stretch`.
        vmax: As in :func:`plot_map`.
        masses: As in :func:`plot_contours`.
        axes: Four.
        verdict: What the map is worth, from `Diagnostics.verdict`; stands over it.
        colours: As in :func:`captum_pcim.visualize.composite`.

    Returns:
        The figure.

    Raises:
        ValueError: If it is not one image.

    Examples:
        >>> maps, diagnostics = PCIM(model).attribute(inputs, target=1, return_diagnostics=True)
        >>> plot_explanation(inputs[0], maps[0], vmax=1, verdict=diagnostics.verdict[0])
    """
    if len(image.shape) != 3:
        raise ValueError(
            f"image: expected one image (C, H, W), got shape {tuple(image.shape)}; for a batch use "
            "plot_explanations, for one stack plot_explanations(stack[None], attributions[None])"
        )
    drawn = panels(axes, 1, 4)
    _draw_explanation(drawn, image, attributions, windows, vmax, masses, verdict, colours)
    return figure_of(drawn[0])


def plot_explanations(
    images: Any,
    attributions: Any,
    windows: ArrayLike | None = None,
    vmax: float | None = None,
    masses: Sequence[float] = MASSES,
    axes: AxesLike | None = None,
    verdicts: Sequence[str] = (),
    colours: Colours = None,
) -> Figure:
    """Draw a batch, a row per image, each as :func:`plot_explanation` draws it.

    All images share their windows and all maps one colour scale, so that rows can be compared.

    Args:
        images: Batch of shape (N, C, H, W), or of stacks (N, C, D, H, W), whose maximum
            projections are drawn.
        attributions: Their maps, as `attribute` returns them.
        windows: As in :func:`captum_pcim.visualize.stretch`. Default: those of the batch.
        vmax: As in :func:`plot_map`. Default: the largest magnitude among all maps.
        masses: As in :func:`plot_contours`.
        axes: N rows of four.
        verdicts: What each map is worth, `Diagnostics.verdict`.
        colours: As in :func:`captum_pcim.visualize.composite`.

    Returns:
        The figure.

    Raises:
        ValueError: If it is no batch, or maps or verdicts are not as many as images.

    Examples:
        >>> maps, diagnostics = PCIM(model).attribute(inputs, target=1, return_diagnostics=True)
        >>> plot_explanations(inputs[:4], maps[:4], verdicts=diagnostics[:4].verdict)
    """
    if len(images.shape) not in (4, 5):
        raise ValueError(
            f"images: expected a batch (N, C, H, W) or (N, C, D, H, W), got {tuple(images.shape)}"
        )
    verdicts = verdicts or [""] * len(images)
    for name, rows in {"attributions": attributions, "verdicts": verdicts}.items():
        if len(rows) != len(images):
            raise ValueError(f"{name}: expected {len(images)}, one per image, got {len(rows)}")
    drawn = panels(axes, len(images), 4)
    shared = chosen_windows(images, windows, colours)
    top = vmax or max(abs(display_map(m)).max() for m in attributions)
    for i, (image, own) in enumerate(zip(images, attributions, strict=True)):
        row = drawn[4 * i : 4 * i + 4]
        _draw_explanation(row, image, own, shared, top, masses, verdicts[i], colours)
    return figure_of(drawn[0])


def _draw_explanation(
    axes: Sequence[Axes],
    image: Any,
    attributions: Any,
    windows: ArrayLike | None,
    vmax: float | None,
    masses: Sequence[float],
    verdict: str,
    colours: Colours,
) -> None:
    first, second, third, fourth = axes
    show(first, composite(image, windows, colours), "image")
    plot_map(attributions, "\n".join(filter(None, ["map", fill(verdict, 32)])), vmax, axes=second)
    plot_overlay(image, attributions, windows, vmax, axes=third, colours=colours)
    plot_contours(image, attributions, masses, windows, colours, axes=fourth)
