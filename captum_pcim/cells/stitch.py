"""The maps of crops, put together as one map of their field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from captum_pcim.images.labels import Labels
from captum_pcim.images.read import FloatPixels

if TYPE_CHECKING:
    from captum_pcim.cells.crops import CellPlace


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
