"""Arrays for other people's viewers: Captum's `visualize_image_attr` and napari."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from captum_pcim.visualize.colours import (
    Colours,
    chosen_windows,
    colour_names,
    default_stain_names,
    to_numpy,
)
from captum_pcim.visualize.composite import composite, display_map

Layer = tuple[NDArray[Any], dict[str, Any], str]
_NAPARI_COLOURS = {"grey": "gray", "orange": "bop orange"}  # where the name is not ours


def captum_arrays(
    image: Any,
    attributions: Any,
    windows: ArrayLike | None = None,
    colours: Colours = None,
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Prepare what `captum.attr.visualization.visualize_image_attr` takes.

    Captum draws pictures of one or three channels, as arrays with channels last, and shows 12- and
    16-bit or standardised intensities wrongly; so it is given the merge of the stains, 8 bits deep.

    Args:
        image: As in :func:`captum_pcim.visualize.composite`.
        attributions: One map, as in :func:`captum_pcim.visualize.display_map`.
        windows: As in :func:`captum_pcim.visualize.stretch`.
        colours: As in :func:`captum_pcim.visualize.composite`.

    Returns:
        The arguments `attr`, (H, W, 1), and `original_image`, (H, W, 3) uint8.

    Examples:
        >>> attr, original = captum_arrays(inputs[0], attributions[0])
        >>> figure, axis = visualize_image_attr(
        ...     attr, original, method="blended_heat_map", sign="positive", use_pyplot=False)
    """
    picture = composite(image, windows, colours)
    relevance = display_map(attributions, picture.shape[:2])[..., None]
    return relevance, np.round(255 * picture).astype(np.uint8)


def napari_layers(
    image: Any,
    attributions: Any,
    label_image: Any = None,
    stain_names: Sequence[str] | None = None,
    pixel_size: float | Sequence[float] = 1.0,
    name: str = "attribution",
    colours: Colours = None,
) -> list[Layer]:
    """Return layers for napari: each stain, the map over them, and the objects.

    napari itself is not needed. Stacks stay stacks.

    Args:
        image: Image of shape (C, H, W), or a stack (C, D, H, W).
        attributions: Attributions of its shape; stains are averaged.
        label_image: Labels of shape (H, W) or (D, H, W), integers.
        stain_names: Names of the layers. Default: "stain 0" and so on, or those of "rgb".
        pixel_size: Size of a pixel, or of each spatial axis.
        name: Name of the map's layer.
        colours: As in :func:`captum_pcim.visualize.composite`.

    Returns:
        Tuples (data, arguments, kind), as napari's readers return them.

    Raises:
        ValueError: If shapes or names do not fit.

    Examples:
        >>> for layer in napari_layers(inputs[0], attributions[0], cells[0]):
        ...     viewer.add_layer(napari.layers.Layer.create(*layer))
    """
    stains, relevance = to_numpy(image), to_numpy(attributions)
    if stains.ndim not in (3, 4) or relevance.shape[1:] != stains.shape[1:]:
        raise ValueError(
            f"image, attributions: expected (C, H, W) or (C, D, H, W), got {stains.shape} and "
            f"{relevance.shape}"
        )
    names = default_stain_names(len(stains), colours) if stain_names is None else stain_names
    if len(names) != len(stains):
        raise ValueError(f"stain_names: expected {len(stains)}, got {len(names)}")
    scale = np.broadcast_to(pixel_size, stains.ndim - 1).astype(float).tolist()
    chosen = chosen_windows(stains[None], None, colours)
    windows = np.broadcast_to(chosen, (len(stains), 2)).tolist()
    layers: list[Layer] = [
        (
            stain,
            {
                "name": stain_name,
                "colormap": _NAPARI_COLOURS.get(colour, colour),
                "contrast_limits": window,
                "blending": "additive",
                "scale": scale,
            },
            "image",
        )
        for stain, stain_name, colour, window in zip(
            stains, names, colour_names(len(stains), colours), windows, strict=True
        )
    ]
    weights = relevance.mean(0)
    limits = [min(0.0, float(weights.min())), max(float(weights.max()), 1e-12)]
    settings = {"name": name, "colormap": "inferno", "contrast_limits": limits}
    layers.append((weights, settings | {"blending": "additive", "scale": scale}, "image"))
    if label_image is not None:
        layers.append((_labels(label_image), {"name": "objects", "scale": scale}, "labels"))
    return layers


def _labels(label_image: Any) -> NDArray[np.int64]:
    return to_numpy(label_image).astype(np.int64)
