"""Full maps as OME-Zarr 0.5 images, float16, beside which the original opens at the same scale."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captum_pcim.images.pixel_size import pixel_size
from captum_pcim.images.read import TIFF_SUFFIXES, FloatPixels
from captum_pcim.screen.plate import Field
from captum_pcim.screen.zarr_plate import axes_of, scale_of, zarr_library

FOLDER = "maps"  # of the forms that stand outside of the results
UNIT_WINDOW = {"min": 0.0, "max": 1.0, "start": 0.0, "end": 1.0}


def write_map(path: Path, attributions: FloatPixels, field: Field, stains: Sequence[str]) -> None:
    """Writes one field's map: one array, one chunk per plane.

    A map is no label image: it is written as an image of its own, with the pixel size of the
    image it belongs to where that is known. Weights that all stains share are written once.

    Args:
        path: The folder to make.
        attributions: Weights in [0, 1], (C, H, W).
        field: The image.
        stains: Names of the planes.
    """
    if (attributions == attributions[:1]).all():
        attributions, stains = attributions[:1], ["all stains"]
    group = zarr_library().create_group(path, zarr_format=3)
    group.attrs["ome"] = _metadata(field, stains)
    array = group.create_array(
        "0",
        shape=attributions.shape,
        chunks=(1, *attributions.shape[1:]),
        dtype="float16",
        dimension_names=["c", "y", "x"],
    )
    array[...] = attributions.astype("float16")


@dataclass(frozen=True, eq=False)
class StoredMap:
    """A map as it was stored.

    Args:
        weights: (planes, H, W), float32; one plane where all stains share their weights.
        names: Of the planes.
        scale: Size of a pixel in y and x.
        unit: Its unit as OME-Zarr writes it, or an empty text.
    """

    weights: FloatPixels
    names: Sequence[str]
    scale: tuple[float, float]
    unit: str


def stored_map(path: Path) -> StoredMap:
    """Reads what :func:`write_map` has written."""
    group = zarr_library().open_group(path, mode="r")
    height, width = scale_of(str(path))
    return StoredMap(
        weights=group["0"][...].astype("float32"),
        names=[channel["label"] for channel in group.attrs["ome"]["omero"]["channels"]],
        scale=(height, width),
        unit=axes_of(str(path))[0].get("unit", ""),
    )


def _metadata(field: Field, stains: Sequence[str]) -> dict[str, Any]:
    scale, axes = _pixels(field)
    return {
        "version": "0.5",
        "multiscales": [
            {
                "name": f"{field.plate} {field.well} {field.site}",
                "axes": [{"name": "c", "type": "channel"}, *axes],
                "datasets": [
                    {
                        "path": "0",
                        "coordinateTransformations": [{"type": "scale", "scale": [1.0, *scale]}],
                    }
                ],
            }
        ],
        "omero": {
            "channels": [
                {"label": stain, "color": "FFFFFF", "window": UNIT_WINDOW} for stain in stains
            ]
        },
    }


def _pixels(field: Field) -> tuple[list[float], list[dict[str, Any]]]:
    """The size of the image's pixels in y and x, and these two axes.

    The size is 1 without a unit where neither the file nor the instrument tells.
    """
    image = field.files[0][0]
    if os.path.isdir(image):
        return scale_of(image), axes_of(image)
    told = pixel_size(Path(image)) if image.lower().endswith(TIFF_SUFFIXES) else None
    if told is None and field.pixel_size:
        told = (field.pixel_size[0], field.pixel_size[1]), "micrometer"
    size, unit = told or ((1.0, 1.0), "")
    named = {"unit": unit} if unit else {}
    return list(size), [{"name": name, "type": "space", **named} for name in "yx"]
