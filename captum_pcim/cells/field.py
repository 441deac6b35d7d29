"""The cells of one field: what was found for each, and the map that theirs make together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from captum_pcim.cells.cell import CellResult
from captum_pcim.cells.crops import resized
from captum_pcim.images.labels import Labels
from captum_pcim.images.read import FloatPixels

if TYPE_CHECKING:
    from captum_pcim.cells.crops import CellPlace
    from captum_pcim.explainer import Explanation


class StitchedMap:
    """A field's map, made of those of its cells, in any order.

    An object's pixels have the weights of its own crop, whatever other crops reach over them. A
    pixel of no object has the largest weight of all crops over it, and one of no crop has 0.

    Args:
        labels: Object numbers of the field, (H, W).
        planes: Planes of the map.
    """

    def __init__(self, labels: Labels, planes: int) -> None:
        self.labels = labels
        self.weights: FloatPixels = np.zeros((planes, *labels.shape), dtype=np.float32)

    def add(self, place: CellPlace, weights: FloatPixels) -> None:
        """Put a crop's map, (planes, size, size), in its place."""
        inside, own = place.windows(self.labels.shape)
        here = self.weights[:, inside[0], inside[1]]
        new = weights[:, own[0], own[1]]
        labels = self.labels[inside]
        here[:] = np.where(labels == 0, np.maximum(here, new), here)
        here[:] = np.where(labels == place.number, new, here)


class CellsOfField:
    """What has been found so far of a field's cells.

    Args:
        labels: Object numbers of the field, (H, W).
        planes: Planes of the map.
        size: Side of the crops, in pixels of the field.

    Attributes:
        cells: What tables tell of each cell, in the order in which they were added.
        failures: Why cells could not be explained.
        weights: The map of the field, (planes, H, W).
    """

    def __init__(self, labels: Labels, planes: int, size: int) -> None:
        self.labels, self.planes, self.size = labels, planes, size
        self.cells: list[CellResult] = []
        self.failures: list[Exception] = []
        self._stitched = StitchedMap(labels, planes)

    def add(self, place: CellPlace, found: Explanation | Exception) -> FloatPixels:
        """Take a cell in.

        Args:
            place: Where it lies.
            found: Its explanation, or why there is none.

        Returns:
            Its map at the scale of the field, (planes, size, size); 0 where it failed.
        """
        if isinstance(found, Exception):
            self.failures.append(found)
            self.cells.append(CellResult.of(place, self.labels, found, None))
            return np.zeros((self.planes, self.size, self.size), np.float32)
        weights: FloatPixels = resized(found.attributions[None, : self.planes], self.size)[0]
        self._stitched.add(place, weights)
        self.cells.append(CellResult.of(place, self.labels, found, weights))
        return weights

    @property
    def weights(self) -> FloatPixels:
        """The map of the field, stitched from those of its cells."""
        return self._stitched.weights
