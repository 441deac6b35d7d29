"""Parts of objects: nuclei, cytoplasm and rings of label images, and radial bins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from captum_pcim.images.labels import Labels

Pixels = npt.NDArray[np.bool_]

PAIRS_AT_ONCE = 2**22  # of distances, 32 MiB


@dataclass(frozen=True, eq=False)
class Region:
    """A part of every object.

    Args:
        name: What it is called in tables.
        labels: The number of the object that a pixel is a part of, (H, W); 0 where of none.
        within: Whether it lies within the objects.
    """

    name: str
    labels: Labels
    within: bool = True


def compartments(labels: Labels, nuclei: Labels | None = None, ring: int = 0) -> list[Region]:
    """Divide objects.

    Args:
        labels: Object numbers, (H, W).
        nuclei: A second label image, of nuclei, whose numbers need not be those of the objects.
            None: there are no nuclei and no cytoplasm.
        ring: Width in pixels of a ring: with nuclei about them, within the cytoplasm; without
            about the objects, where there is no other, a pixel being the nearest object's. 0: none.

    Returns:
        `Nuclei`, `Cytoplasm` and `Ring`, those that there are.
    """
    if nuclei is None:
        return [Region("Ring", _ring(labels, labels, ring), within=False)] if ring else []
    inner = np.where(nuclei > 0, labels, 0)
    cytoplasm = np.where(nuclei > 0, 0, labels)
    found = [Region("Nuclei", inner), Region("Cytoplasm", cytoplasm)]
    if ring:
        found.append(Region("Ring", _ring(inner, cytoplasm, ring, within=True)))
    return found


def radial_bins(labels: Labels, bins: int) -> Labels:
    """Number the pixels of objects by their way from the centre, 0, to the edge, `bins` - 1.

    As CellProfiler's MeasureObjectIntensityDistribution: with the distances c from the centre and e
    from the nearest pixel that is not the object's, the bin is that of c / (c + e) among equal
    parts of [0, 1]. The centre is the pixel farthest from the edge, of several the one nearest to
    their mean. Distances are straight, where CellProfiler's from the centre go round corners.

    Args:
        labels: Object numbers, (H, W).
        bins: How many.

    Returns:
        Bins of shape (H, W); those of no object are -1.
    """
    found = np.full(labels.shape, -1, dtype=np.int64)
    padded = np.pad(labels, 1)  # the border of the image is an edge
    for number, window in _windows(padded, 1):
        own = padded[window] == number
        inside, edge = np.argwhere(own), np.argwhere(_beside(own) & ~own)
        to_edge = _distances(inside, edge)
        deepest = inside[to_edge == to_edge.max()]
        centre = deepest[_distances(deepest, deepest.mean(0, keepdims=True)).argmin()]
        from_centre = _distances(inside, centre[None])
        part = np.floor(bins * from_centre / (from_centre + to_edge)).astype(np.int64)
        rows, columns = (inside + [axis.start - 1 for axis in window]).T
        found[rows, columns] = np.minimum(part, bins - 1)
    return found


def _ring(labels: Labels, around: Labels, width: int, within: bool = False) -> Labels:
    """The number of the nearest object that is within a width.

    Args:
        labels: Object numbers, (H, W).
        around: What may be part of a ring: pixels of 0, or `within` those of the object's number.
        width: In pixels.
        within: Whether each ring lies in what has the number of its object.
    """
    nearest = np.full(labels.shape, np.inf)
    found = np.zeros_like(labels)
    for number, window in _windows(labels, width):
        own = labels[window] == number
        pixels = np.argwhere(around[window] == (number if within else 0))
        distances = np.full(own.shape, np.inf)
        distances[tuple(pixels.T)] = _distances(pixels, np.argwhere(own & _beside(~own)))
        closer = (distances <= width) & (distances < nearest[window])
        nearest[window] = np.where(closer, distances, nearest[window])
        found[window] = np.where(closer, number, found[window])
    return found


def _windows(labels: Labels, margin: int) -> Iterator[tuple[int, tuple[slice, slice]]]:
    """Each object's number and the rows and columns that it takes, with a margin."""
    order = np.argsort(labels, axis=None, kind="stable")
    numbers, first = np.unique(labels.reshape(-1)[order], return_index=True)
    for number, places in zip(numbers, np.split(order, first[1:]), strict=True):
        if number:
            rows, columns = np.unravel_index(places, labels.shape)
            yield int(number), (_span(rows, margin), _span(columns, margin))


def _span(places: Any, margin: int) -> slice:
    return slice(max(int(places.min()) - margin, 0), int(places.max()) + margin + 1)


def _beside(pixels: Pixels) -> Pixels:
    """The pixels above, below, left or right of some."""
    wide = np.pad(pixels, 1)
    return wide[:-2, 1:-1] | wide[2:, 1:-1] | wide[1:-1, :-2] | wide[1:-1, 2:]


def _distances(places: npt.NDArray[Any], others: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """From each place to the nearest of others, in pixels."""
    if not len(places) or not len(others):
        return np.full(len(places), np.inf)
    one, other = (torch.from_numpy(np.asarray(p, dtype=np.float64)) for p in (places, others))
    some = one.split(max(1, PAIRS_AT_ONCE // len(others)))
    exact = (torch.cdist(part, other, compute_mode="donot_use_mm_for_euclid_dist") for part in some)
    return torch.cat([part.amin(1) for part in exact]).numpy()
