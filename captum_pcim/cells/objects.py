"""Attribution per object: which cells, and how strongly, carry the evidence."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from captum_pcim.cells.crops import cell_places
from captum_pcim.images.labels import Labels
from captum_pcim.images.read import FloatPixels

MEASURES = ("Mean", "Sum", "Share", "Max")
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ObjectSums:
    """Of all objects, or of one region of each: pixels, weights and the largest of these.

    Args:
        area: Pixels, (K,).
        total: Sum of the weights of each plane, (planes, K).
        largest: The largest weight of each plane, (planes, K); NaN where there is no pixel.
    """

    area: npt.NDArray[np.int64]
    total: Numbers
    largest: Numbers

    @classmethod
    def of(cls, weights: Numbers, labels: Labels, numbers: npt.NDArray[np.int64]) -> ObjectSums:
        """Add up weights (planes, H, W) where labels (H, W) have the K numbers, which ascend."""
        inside = labels != 0
        place = np.searchsorted(numbers, labels[inside])
        count = len(numbers)
        total = np.empty((len(weights), count))
        largest = np.full((len(weights), count), np.nan)
        for plane, own_total, own_largest in zip(weights, total, largest, strict=True):
            own_total[:] = np.bincount(place, plane[inside], minlength=count)
            np.fmax.at(own_largest, place, plane[inside])
        return cls(np.bincount(place, minlength=count), total, largest)


def measure_objects(attributions: FloatPixels, labels: Labels) -> Numbers:
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
    weights = attributions.astype(np.float64)
    numbers = np.unique(labels[labels != 0])
    sums = ObjectSums.of(weights, labels, numbers)
    whole = weights.sum(axis=(1, 2))[:, None]
    share = np.divide(sums.total, whole, out=np.zeros_like(sums.total), where=whole > 0)
    measures = np.stack([sums.total / sums.area, sums.total, share, sums.largest], axis=1)
    return np.column_stack([numbers, *itertools.chain.from_iterable(measures)])


def locate_objects(labels: Labels) -> Numbers:
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
