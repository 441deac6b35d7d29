"""Label images: object numbers, which are not intensities and are never scaled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from captum_pcim.images.read import TIFF_SUFFIXES, decoding, open_picture
from captum_pcim.images.stack import ImageError, Pixels, Plane, Stack
from captum_pcim.images.tiff import open_tiff

Labels = npt.NDArray[np.int64]

LARGEST = 2**53  # tables hold floats of 64 bits


def read_labels(path: Path, z: Plane = None, t: int | None = None) -> Labels:
    """Read a label image.

    Whole numbers of any type are kept exactly. Of a palette the indices are the object numbers, not
    their colours. Colours are refused, since nothing says which object each stands for.

    Args:
        path: A PNG or TIFF file.
        z: As for the image. Projected along z, by ``"max"`` or ``"mean"``, a pixel belongs to the
            object of the largest number in any plane.
        t: As for the image.

    Returns:
        Object numbers of shape (H, W), 0 where there is none.

    Raises:
        ImageError: If the file is damaged, or holds colours, several channels, numbers that are
            negative or not whole, or planes and none was chosen.
    """
    with decoding():
        if path.suffix.lower() in TIFF_SUFFIXES:
            with open_tiff(path, labels=True) as stack:
                return labels_of(stack, z, t)
        return object_numbers(_indices(path.read_bytes()))


def labels_of(stack: Stack, z: Plane, t: int | None) -> Labels:
    """The object numbers of the plane, or projection, that is chosen as the image's is."""
    stack = stack.as_one_stain()
    if stack.stains != 1:
        raise ImageError(f"a label image has one channel, this one {stack.stains}")
    return object_numbers(stack.image("max" if z == "mean" else z, t)[0])


def object_numbers(pixels: Pixels) -> Labels:
    """Check that numbers can be those of objects.

    Raises:
        ImageError: If one is negative, not whole, or so large that a table would round it.
    """
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8)
    largest = LARGEST
    if pixels.dtype.kind == "f" and np.isfinite(pixels).all() and (pixels == pixels.round()).all():
        largest = 2 ** (np.finfo(pixels.dtype).nmant + 1) - 1  # above it, numbers were rounded
        pixels = pixels.astype(np.int64)
    if pixels.dtype.kind not in "ui":
        raise ImageError(f"object numbers are whole, these are {pixels.dtype}")
    if pixels.size and pixels.min() < 0:
        raise ImageError(f"object numbers are not negative, one is {pixels.min()}")
    if pixels.size and pixels.max() > largest:
        raise ImageError(f"the object number {pixels.max()} is too large to be exact")
    return pixels.astype(np.int64)


def _indices(data: bytes) -> Pixels:
    with open_picture(data) as image:
        image.load()
        if image.format != "PNG":
            raise ImageError("a JPEG changes object numbers: save labels as PNG or TIFF")
        if image.mode == "LA":
            image = image.getchannel("L")
        if image.mode not in ("1", "L", "P", "I;16", "I"):
            raise ImageError(
                f"colours ({image.mode}) do not tell object numbers: save labels in grey, "
                "as 16-bit PNG or as TIFF"
            )
        return np.asarray(image) // _stretched(data)


def _stretched(data: bytes) -> int:
    """What Pillow multiplies grey of 2 and 4 bits with, to fill 8: 85 and 17."""
    depth, colour = data[24], data[25]  # of the header chunk, which comes first
    return 255 // (2**depth - 1) if colour == 0 and depth in (2, 4) else 1
