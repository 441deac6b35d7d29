"""The smallest region that holds a given share of an attribution."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from captum_pcim.visualize.composite import display_map


def smallest_region(attributions: Any, mass: float) -> NDArray[np.bool_]:
    """Mark the fewest pixels that together hold a share of the positive attribution.

    Pixels are taken from the highest down until they hold the mass; of equal ones, those that come
    first row by row.

    Args:
        attributions: One map, as in :func:`captum_pcim.visualize.display_map`. Negative values
            count as 0.
        mass: Share of the sum over all pixels, in (0, 1].

    Returns:
        Region of shape (H, W); empty where no attribution is positive.

    Raises:
        ValueError: If `mass` is not in (0, 1].

    Examples:
        >>> smallest_region(np.array([[5.0, 1.0], [3.0, 1.0]]), mass=0.8)
        array([[ True, False],
               [ True, False]])
    """
    if not 0 < mass <= 1:
        raise ValueError(f"mass: expected a share in (0, 1], got {mass}")
    relevance = np.maximum(display_map(attributions), 0)
    region = np.zeros(relevance.size, dtype=bool)
    order = np.argsort(-relevance, axis=None, kind="stable")
    held = relevance.ravel()[order].cumsum()
    if held[-1] > 0:
        # Round-off may leave the last sum an ulp short of the whole.
        wanted = min(mass * held[-1] * (1 - 1e-12), held[-1])
        region[order[: np.searchsorted(held, wanted) + 1]] = True
    return region.reshape(relevance.shape)
