"""Where a well lies on its plate: row, column, and distance to the edge."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from captum_pcim.images.wells import PLATE_FORMATS, row_and_column

FORMATS = ((2, 3), (3, 4), (4, 6), (6, 8), *PLATE_FORMATS)  # rows, columns
_WELL = re.compile(r"([A-Z]{1,2})0*([1-9]\d?)")


def well_name(text: Any, argument: str) -> str:
    """A well's name as the tables have it: ``A01``, ``AF48``.

    Raises:
        ValueError: If it is no well.
    """
    match = _WELL.fullmatch(str(text).strip().upper())
    if match is None:
        raise ValueError(f"{argument}: expected wells such as 'A01', got {text!r}")
    return f"{match[1]}{int(match[2]):02d}"


def positions(wells: Iterable[str]) -> NDArray[np.float64]:
    """The row, the column and the distance to the edge of wells, of shape (N, 3).

    Rows and columns count from 1. A well at the edge has distance 0. The plate is the smallest of
    6, 12, 24, 48, 96, 384 and 1536 wells that holds all of them.

    Args:
        wells: Names such as ``A01``.
    """
    names = [well_name(well, "Metadata_Well") for well in wells]
    places = 1 + np.array([row_and_column(name) for name in names], float).reshape(-1, 2)
    most = places.max(axis=0)
    sizes = (np.array(size) for size in FORMATS)
    size = next((s for s in sizes if (most <= s).all()), most)
    edge = np.minimum(places - 1, size - places).min(axis=1)
    return np.column_stack([places, edge])
