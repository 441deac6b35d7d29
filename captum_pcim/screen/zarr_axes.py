"""The axes of an OME-Zarr image, and how large its pixels are along them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from captum_pcim.images.stack import ImageError

TYPES = {"channel": "C", "time": "T"}


def axis_letters(axes: Sequence[Any]) -> list[str]:
    """Letters T, C, Z, Y, X for an image's axes, others as they are called.

    Axes are known by their type, and by their name where they have none. Axes of space are called
    x, y and z in whatever order they come; by other names they are z, y and x in this order.

    Raises:
        ImageError: Two are the same, or which axis of space is which is not told.
    """
    named = [axis if isinstance(axis, dict) else {"name": axis} for axis in axes]  # 0.3: names
    names = [str(axis.get("name", "")).upper() for axis in named]
    kinds = [str(axis.get("type") or "").lower() for axis in named]
    letters = [TYPES.get(kind, name) for kind, name in zip(kinds, names, strict=True)]
    space = [i for i, kind in enumerate(kinds) if kind == "space"]
    told = [axis.get("name") for axis in named]
    if not {names[i] for i in space} <= set("ZYX"):
        for i, letter in zip(space, "ZYX"[-len(space) :], strict=False):
            if names[i] in set("ZYX") - {letter} or len(space) > 3:
                raise ImageError(f"expected axes of space called z, y and x, got the axes {told}")
            letters[i] = letter
    if twice := [letter for letter in "TCZYX" if letters.count(letter) > 1]:
        raise ImageError(f"expected one axis {twice[0]}, got the axes {told}")
    return letters


def scale_yx(multiscale: dict[str, Any]) -> list[float]:
    """The size of a pixel in y and x, in the image's own units; 1 where it does not tell.

    The scale of the full resolution times that of all resolutions, if the image has both.

    Raises:
        ImageError: A scale has not as many numbers as the image has axes.
    """
    letters = axis_letters(multiscale["axes"])
    size = {"Y": 1.0, "X": 1.0}
    for holder in (multiscale["datasets"][0], multiscale):
        for transformation in holder.get("coordinateTransformations") or []:
            if transformation.get("type") == "scale" and "scale" in transformation:
                scale = [float(value) for value in transformation["scale"]]
                if len(scale) != len(letters):
                    raise ImageError(f"the scale {scale} is not one of the axes {letters}")
                size = {axis: size[axis] * scale[letters.index(axis)] for axis in size}
    return [size["Y"], size["X"]]


def axes_yx(multiscale: dict[str, Any]) -> list[dict[str, Any]]:
    """The image's y and x axes, with their units."""
    letters = axis_letters(multiscale["axes"])
    axes = [multiscale["axes"][letters.index(letter)] for letter in "YX"]
    found = [axis if isinstance(axis, dict) else {"type": "space"} for axis in axes]
    return [{**axis, "name": name} for name, axis in zip("yx", found, strict=True)]
