"""An image and its map: stains, the map, the map over the image, contours of its mass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from captum_pcim.visualize.canvas import AxesLike, figure_of, panels, show
from captum_pcim.visualize.colours import Colours, chosen_windows, default_stain_names
from captum_pcim.visualize.composite import composite, display_map, overlay, projected, stretch
from captum_pcim.visualize.regions import smallest_region

MAP_COLOURS = "magma"
CONTOUR_COLOURS = ("white", "yellow", "cyan", "magenta")
MASSES = (0.5, 0.8)


def plot_stains(
    image: Any,
    stain_names: Sequence[str] | None = None,
    windows: ArrayLike | None = None,
    colours: Colours = None,
    axes: AxesLike | None = None,
) -> Figure:
    """Draw every stain in grey, and their merge where there are several.

    Args:
        image: As in :func:`captum_pcim.visualize.composite`, with C stains.
        stain_names: Titles. Default: "stain 0" and so on, or the names of the colours of "rgb".
        windows: As in :func:`captum_pcim.visualize.stretch`.
        colours: As in :func:`captum_pcim.visualize.composite`.
        axes: C + 1 axes, 1 for a single stain.

    Returns:
        The figure.

    Raises:
        ValueError: If names or axes are of another number.
    """
    pixels = projected(image)
    stains = stretch(pixels, chosen_windows(pixels[None], windows, colours))
    names = default_stain_names(len(stains), colours) if stain_names is None else stain_names
    if len(names) != len(stains):
        raise ValueError(f"stain_names: expected {len(stains)}, got {len(names)}")
    several = len(stains) > 1
    drawn = panels(axes, 1, len(stains) + several)
    for axis, stain, name in zip(drawn, stains, names, strict=False):
        show(axis, stain, name, cmap="gray", vmin=0, vmax=1)
    if several:
        show(drawn[-1], composite(pixels, windows, colours), "merge")
    return figure_of(drawn[0])


def plot_map(
    attributions: Any,
    title: str = "attribution",
    vmax: float | None = None,
    colour_bar: bool = True,
    axes: AxesLike | None = None,
) -> Figure:
    """Draw a map from 0 to `vmax`; with a negative part, from `-vmax` in blue to `vmax` in red.

    Args:
        attributions: One map, as in :func:`captum_pcim.visualize.display_map`.
        title: Title.
        vmax: End of the colour scale. Default: the largest magnitude of the map. Give the same
            number to maps that are to be compared.
        colour_bar: Also draw the scale.
        axes: One.

    Returns:
        The figure.
    """
    relevance = display_map(attributions)
    (axis,) = panels(axes, 1, 1)
    top = max(abs(relevance).max(), 1e-12) if vmax is None else vmax
    if not relevance.any():
        title = f"{title}\nzero everywhere"
    signed = relevance.min() < 0
    colours, bottom = ("RdBu_r", -top) if signed else (MAP_COLOURS, 0)
    shown = show(axis, relevance, title, cmap=colours, vmin=bottom, vmax=top)
    figure = figure_of(axis)
    if colour_bar:
        figure.colorbar(shown, ax=axis, shrink=0.8)
    return figure


def plot_maps(
    maps: Mapping[str, Any], vmax: float | None = None, axes: AxesLike | None = None
) -> Figure:
    """Draw maps in a row on one colour scale: of methods, of classes, of more and more steps.

    Args:
        maps: By title, as in :func:`plot_map`.
        vmax: End of the colour scale. Default: the largest magnitude among all maps.
        axes: As many as maps.

    Returns:
        The figure.

    Raises:
        ValueError: If there are no maps.

    Examples:
        >>> steps = {f"{n} steps": pcim.attribute(x, target=1, n_steps=n)[0] for n in (5, 20, 40)}
        >>> figure = plot_maps(steps, vmax=1)
    """
    if not maps:
        raise ValueError("maps: expected at least one, got none")
    drawn = panels(axes, 1, len(maps))
    top = vmax or max(abs(display_map(m)).max() for m in maps.values())
    for axis, (title, attributions) in zip(drawn, maps.items(), strict=True):
        plot_map(attributions, title, vmax=top, colour_bar=axis is drawn[-1], axes=axis)
    return figure_of(drawn[0])


def plot_overlay(
    image: Any,
    attributions: Any,
    windows: ArrayLike | None = None,
    vmax: float | None = None,
    title: str = "map over image",
    axes: AxesLike | None = None,
    colours: Colours = None,
) -> Figure:
    """Draw a map over its image, as :func:`captum_pcim.visualize.overlay` makes it.

    Args:
        image: As there.
        attributions: As there.
        windows: As there.
        vmax: As there.
        title: Title.
        axes: One.
        colours: As there.

    Returns:
        The figure.
    """
    (axis,) = panels(axes, 1, 1)
    show(axis, overlay(image, attributions, windows, vmax, colours), title)
    return figure_of(axis)


def plot_contours(
    image: Any,
    attributions: Any,
    masses: Sequence[float] = MASSES,
    windows: ArrayLike | None = None,
    colours: Colours = None,
    axes: AxesLike | None = None,
) -> Figure:
    """Draw the merge and the outlines of the smallest regions that hold shares of the map.

    Args:
        image: As in :func:`captum_pcim.visualize.composite`.
        attributions: One map, as in :func:`captum_pcim.visualize.display_map`.
        masses: Shares in (0, 1], at most four; see :func:`captum_pcim.visualize.smallest_region`.
        windows: As in :func:`captum_pcim.visualize.stretch`.
        colours: As in :func:`captum_pcim.visualize.composite`.
        axes: One.

    Returns:
        The figure.

    Raises:
        ValueError: If there are more than four masses or one is not in (0, 1].
    """
    if len(masses) > len(CONTOUR_COLOURS):
        raise ValueError(f"masses: expected at most {len(CONTOUR_COLOURS)}, got {len(masses)}")
    picture = composite(image, windows, colours)
    relevance = display_map(attributions, picture.shape[:2])
    (axis,) = panels(axes, 1, 1)
    shares = " and ".join(f"{mass:.0%}" for mass in masses)
    show(axis, picture, f"{shares} of the attribution")
    for mass, colour in zip(masses, CONTOUR_COLOURS, strict=False):
        _draw_outline(axis, relevance, mass, colour)
    return figure_of(axis)


def _draw_outline(axis: Axes, relevance: Any, mass: float, colour: str) -> None:
    region = smallest_region(relevance, mass)
    if region.any() and not region.all():
        axis.contour(region, levels=[0.5], colors=[colour], linewidths=1)
