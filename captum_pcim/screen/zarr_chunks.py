"""Chunks of OME-Zarr that were cut off, which Blosc decodes all the same.

Other codecs notice it themselves. Blosc reads on behind the end of what it was given, and the last
pixels are whatever lies there; but its header tells how long a chunk should be.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from captum_pcim.images.stack import ImageError

HEADER, LENGTH_AT = 16, slice(12, 16)  # bytes, of Blosc 1, whose last four are the length
METADATA = ("zarr.json", ".zarray", ".zattrs")
BLOSC = ("Blosc", "BloscCodec")  # of Zarr's second format and of its third


def check_chunks(folder: Path, array: Any, selection: Sequence[int | slice]) -> None:
    """See that the chunks of a selection are as long as they say.

    Args:
        folder: The array's.
        array: As Zarr opens it.
        selection: A number or a whole slice for each axis.

    Raises:
        ImageError: One is not.
    """
    compressors = getattr(array, "compressors", ())
    sharded = getattr(array, "shards", None) is not None  # there, chunks have no files
    if sharded or not compressors or type(compressors[-1]).__name__ not in BLOSC:
        return
    axes = zip(selection, array.shape, array.chunks, strict=True)
    places = [
        range(-(-size // chunk)) if isinstance(at, slice) else [at // chunk]
        for at, size, chunk in axes
    ]
    for place in itertools.product(*places):
        file = folder / array.metadata.encode_chunk_key(place)
        if file.is_file():  # what is not there holds the fill value
            _check(file)


def require_chunks(folder: Path) -> None:
    """See that an array that reads as one value has a chunk: Zarr fills in what is not there.

    Raises:
        ImageError: It has none, as when a plate is not copied yet.
    """
    files = (entry for entry in folder.rglob("*") if entry.is_file())
    if all(file.name in METADATA for file in files):
        raise ImageError("cannot be read: none of its chunks is there")


def _check(file: Path) -> None:
    size = file.stat().st_size
    with open(file, "rb") as stream:
        header = stream.read(HEADER)
    expected = int.from_bytes(header[LENGTH_AT], "little")
    if size < HEADER or size < expected:
        raise ImageError(
            f"cannot be read: the chunk {file.name} is cut off: {size} bytes, expected "
            f"{max(expected, HEADER)}"
        )
