"""Image files in, arrays of stored intensities out.

PNG and JPEG are read with Pillow, TIFF as :mod:`captum_pcim.images.tiff` says.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from captum_pcim._errors import describe
from captum_pcim.images.intensities import scale
from captum_pcim.images.stack import MAX_SAMPLES, FloatPixels, ImageError, Pixels, Plane
from captum_pcim.images.tiff import open_tiff
from captum_pcim.images.windows import Window

__all__ = [
    "MAX_SAMPLES",
    "SUFFIXES",
    "FloatPixels",
    "ImageError",
    "Pixels",
    "Window",
    "read_image",
    "scale",
]

PILLOW_SUFFIXES = (".png", ".jpg", ".jpeg")
TIFF_SUFFIXES = (".tif", ".tiff")
SUFFIXES = PILLOW_SUFFIXES + TIFF_SUFFIXES


def read_image(
    paths: Sequence[Path],
    z: Plane = None,
    t: int | None = None,
    channels: Sequence[str] = (),
    one_stain: bool = False,
) -> Pixels:
    """Read one image in the type it is stored in.

    A colour file gives its three colours and a palette what it stands for, one stain if that is
    grey; an alpha channel is dropped. A TIFF gives its channels. Pages of which it says nothing are
    channels, or planes where the file shows one stain or a plane is asked for. Planes along z and
    time points are never taken for stains.

    Args:
        paths: The image's files.
        z: The plane along z from 1, ``"max"`` or ``"mean"``; None where there is only one.
        t: The time point from 1; None where there is only one.
        channels: Names of the wanted channels of a single file; empty for all. A file that names
            none gives its channels in order.
        one_stain: Whether each file shows one stain. Several files always do.

    Returns:
        Array of shape (C, H, W).

    Raises:
        ImageError: If a file is damaged, not an image, of a kind that would lose bits, if it holds
            planes or time points and none was chosen, or if the stains' files differ in size or
            type.
        ImportError: If a TIFF is to be read and tifffile is not installed.
    """
    one_stain = one_stain or len(paths) > 1
    files = [_read_file(path, z, t, channels, one_stain) for path in paths]
    if one_stain and any(len(file) != 1 for file in files):
        raise ImageError("a file of one stain must be grey, but one has several channels")
    return joined(files)


def joined(files: Sequence[Pixels]) -> Pixels:
    """Put the stains of several files, each of shape (C, H, W), after one another.

    Raises:
        ImageError: If they differ in size or type.
    """
    first = files[0]
    if any(file.shape[1:] != first.shape[1:] or file.dtype != first.dtype for file in files):
        kinds = ", ".join(f"{_size(file)} {file.dtype}" for file in files)
        raise ImageError(f"the stains' files differ: {kinds}")
    return np.concatenate(files)


def _read_file(
    path: Path, z: Plane, t: int | None, channels: Sequence[str], one_stain: bool
) -> Pixels:
    with decoding():
        if path.suffix.lower() in TIFF_SUFFIXES:
            with open_tiff(path) as stack:
                stack = stack.as_one_stain() if one_stain else stack
                return _usable(stack.image(z, t, channels))
        return _usable(_decode(path.read_bytes()))


@contextlib.contextmanager
def decoding() -> Iterator[None]:
    """Turn whatever a decoder raises into an ImageError: that is nearly any type."""
    try:
        yield
    except (ImageError, ImportError):
        raise
    except Exception as error:
        raise ImageError(f"cannot be read: {describe(error)}") from error


def _usable(pixels: Pixels) -> Pixels:
    if pixels.size == 0:
        raise ImageError("the image has no pixels")
    if np.issubdtype(pixels.dtype, np.floating):
        if not np.isfinite(pixels).all():
            raise ImageError("the image holds values that are not finite")
    elif not np.issubdtype(pixels.dtype, np.integer):
        raise ImageError(f"pixels of type {pixels.dtype} are not intensities")
    return pixels


def _decode(data: bytes) -> Pixels:
    with open_picture(data) as image:
        if image.format == "PNG":
            _refuse_lossy_png(data)
            if getattr(image, "n_frames", 1) > 1:
                raise ImageError(f"{image.n_frames} pictures in one PNG: save each as a file")
        image.load()
        if image.mode not in ("L", "I;16", "I"):
            # Palette, bilevel, alpha and CMYK images: their grey or their three colours.
            image = image.convert("L" if _is_grey(image) else "RGB")
        pixels = np.asarray(image)
        if image.mode == "I":  # how older Pillow releases hold 16-bit grey
            pixels = pixels.astype(np.uint16)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(np.moveaxis(pixels, -1, 0))


@contextlib.contextmanager
def open_picture(data: bytes) -> Iterator[Any]:
    """Open a PNG or JPEG with Pillow; sizes that it only warns of are refused.

    The warnings module is left alone: what it is told to catch, it catches for all threads, and
    images are read in one while others are explained in another.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
    except UnidentifiedImageError:
        raise ImageError("not a PNG or JPEG image") from None
    with image:
        if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
            raise ImageError(f"more than Pillow's {Image.MAX_IMAGE_PIXELS} pixels")
        yield image


def _is_grey(image: Any) -> bool:
    if image.mode == "P":
        colours = image.getpalette("RGB")
        return bool(colours[::3] == colours[1::3] == colours[2::3])
    return image.mode in ("1", "LA")


def _refuse_lossy_png(data: bytes) -> None:
    """Pillow reads 16-bit colour and grey with alpha as 8 bit without a word."""
    depth, colour = data[24], data[25]  # of the header chunk, which comes first
    if depth == 16 and colour != 0:
        raise ImageError("a 16-bit colour PNG would be cut to 8 bit: save it as TIFF")


def _size(pixels: Pixels) -> str:
    return "x".join(map(str, pixels.shape[1:]))
