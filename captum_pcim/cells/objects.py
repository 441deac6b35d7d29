"""Attribution per object: which cells, and how strongly, carry the evidence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from captum_pcim.cells.crops import cell_places
from captum_pcim.images.read import FloatPixels

MEASURES = ("Mean", "Sum", "Share", "Max")


def measure_objects(
    attributions: FloatPixels, labels: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Measures each object in each stain.

    Args:
        attributions: Weights in [0, 1], (C, H, W).
        labels: Object numbers, (H, W), 0 for the background.

    Returns:
        Array of shape (objects, 1 + 4 C): the object's number, then mean, sum, share and maximum
        of its weights per stain. The share is of the sum over the whole image, background
        included, so the shares of a map that lies beside the cells do not add up to 1; it is 0
        where the whole map is.
    """
    numbers, place = np.unique(labels, return_inverse=True)
    place = place.reshape(-1)
    size = np.bincount(place, minlength=len(numbers))
    columns: list[npt.NDArray[np.float64]] = [numbers.astype(np.float64)]
    for plane in attributions.reshape(len(attributions), -1).astype(np.float64):
        total = np.bincount(place, plane, minlength=len(numbers)).astype(np.float64)
        largest = np.full(len(numbers), -np.inf)
        np.maximum.at(largest, place, plane)
        whole = total.sum()
        share = np.asarray(total / whole) if whole > 0 else np.zeros_like(total)
        columns.extend([np.asarray(total / size), total, share, largest])
    return np.asarray(np.stack(columns, axis=1)[numbers != 0])


def locate_objects(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The centres of the objects, x and y in pixels, in the order of :func:`measure_objects`."""
    places = [(place.x, place.y) for place in cell_places(labels, size=1)]
    return np.array(places, np.float64).reshape(-1, 2)


def column_names(objects: str, stains: Sequence[str]) -> list[str]:
    """Names the number, the place and the measures of objects as CellProfiler would.

    Args:
        objects: What the objects are called.
        stains: What the planes of the map are called; an empty name for one that all stains share.
    """
    names = [f"{name}_{stain}" if stain else name for stain in stains for name in MEASURES]
    places = [f"{objects}_Location_Center_{axis}" for axis in "XY"]
    return ["ObjectNumber", *places, *(f"{objects}_Attribution_{name}" for name in names)]
