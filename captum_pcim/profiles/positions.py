"""Where a well lies on its plate: row, column, and distance to the edge."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from captum_pcim.images.wells import PLATE_FORMATS, row_and_column, well_name

FORMATS = ((2, 3), (3, 4), (4, 6), (6, 8), *PLATE_FORMATS)  # rows, columns


def well_names(wells: Iterable[Any], argument: str) -> list[str]:
    """The names of wells as the tables have them: ``A01``, ``AF48``.

    Raises:
        ValueError: If one is no well.
    """
    try:
        return [well_name(str(well).strip()) for well in wells]
    except ValueError as error:
        raise ValueError(f"{argument}: {error}") from None


def positions(wells: Iterable[str]) -> NDArray[np.float64]:
    """The row, the column and the distance to the edge of wells, of shape (N, 3).

    Rows and columns count from 1. A well at the edge has distance 0. The plate is the smallest of
    6, 12, 24, 48, 96, 384 and 1536 wells that holds all of them.

    Args:
        wells: Names such as ``A01``.
    """
    names = well_names(wells, "Metadata_Well")
    places = 1 + np.array([row_and_column(name) for name in names], float).reshape(-1, 2)
    most = places.max(axis=0)
    sizes = (np.array(size) for size in FORMATS)
    size = next((s for s in sizes if (most <= s).all()), most)
    edge = np.minimum(places - 1, size - places).min(axis=1)
    return np.column_stack([places, edge])
