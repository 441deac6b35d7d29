"""OME-TIFF: one file with all stains of a field, and what its OME-XML says of them.

The XML is that of the OME data model 2016-06, https://docs.openmicroscopy.org/ome-model.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from captum_pcim._errors import silenced
from captum_pcim.images.read import TIFF_SUFFIXES, ImageError, read_image

if TYPE_CHECKING:
    from captum_pcim.images.read import Pixels

UNITS = {"nm": "nanometer", "µm": "micrometer", "mm": "millimeter"}


def read_stains(path: str, channels: list[str]) -> Pixels:
    """Reads all stains of a field from one file.

    Args:
        path: An image file. Of an OME-TIFF the wanted channels are taken by their names; any other
            file, and an OME-TIFF that names no channel, gives its stains in order.
        channels: Names of the wanted channels.

    Returns:
        Array of shape (C, H, W) in the stored type.

    Raises:
        ImageError: The file is damaged, lacks a channel, or holds several images, z planes or time
            points.
    """
    pixels = read_image([Path(path)])
    if len(pixels) == len(channels) == 1:
        return pixels
    image = _only_image(path)
    if image is None:
        return pixels
    for axis in "ZT":
        size = int(image.get(f"Size{axis}", 1))
        if size != 1:
            raise ImageError(f"expected one plane along {axis}, the OME-TIFF has {size}")
    pages = _page_of_each_channel(image, len(pixels))
    names = [str(channel.get("Name", "")) for channel in image.iterfind("{*}Channel")]
    if not any(names):
        return pixels[pages]
    wrong = [name for name in channels if names.count(name) != 1]
    if wrong or len(names) != len(pages):
        raise ImageError(f"not one channel {', '.join(wrong)}; the OME-TIFF has {names}")
    return np.asarray(pixels[[pages[names.index(name)] for name in channels]])


def pixel_axes(path: str) -> tuple[list[float], list[dict[str, Any]]]:
    """The size of a pixel in y and x and these two axes, in OME-Zarr's terms.

    The size is 1 without a unit where the file does not tell.
    """
    try:
        image = _only_image(path)
    except ImageError:  # one stain of several files, whose XML describes them all
        image = None
    scale: list[float] = []
    axes: list[dict[str, Any]] = []
    for name in "yx":
        size = image.get(f"PhysicalSize{name.upper()}") if image is not None else None
        unit = image.get(f"PhysicalSize{name.upper()}Unit", "µm") if image is not None else ""
        known = size is not None and unit in UNITS
        scale.append(float(size) if known and size else 1.0)
        axes.append({"name": name, "type": "space", **({"unit": UNITS[unit]} if known else {})})
    return scale, axes


def _only_image(path: str) -> ElementTree.Element | None:
    """The Pixels element of the file's one image, or None if it is no OME-TIFF."""
    if not path.lower().endswith(TIFF_SUFFIXES):
        return None
    import tifffile

    with silenced("tifffile"), tifffile.TiffFile(path) as file:
        text = file.ome_metadata
    if text is None:
        return None
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # OME-XML has none; expanding them is a risk
        raise ImageError("its OME-XML declares entities")
    try:
        images = ElementTree.fromstring(text).findall("{*}Image/{*}Pixels")
    except ElementTree.ParseError as error:
        raise ImageError(f"its OME-XML is damaged: {error}") from error
    if len(images) != 1:
        raise ImageError(f"expected one image a file, the OME-TIFF has {len(images)}")
    return images[0]


def _page_of_each_channel(image: ElementTree.Element, n_pages: int) -> list[int]:
    """Where each channel lies, as the TiffData elements say; in order if they do not."""
    size = int(image.get("SizeC", 1))
    if size != n_pages:
        raise ImageError(f"its OME-XML tells of {size} channels, the file has {n_pages}")
    pages = list(range(size))
    for block in image.iterfind("{*}TiffData"):
        if "IFD" not in block.attrib:
            continue
        first, start = int(block.get("FirstC", 0)), int(block.get("IFD", 0))
        for offset in range(int(block.get("PlaneCount", 1))):
            if not (0 <= first + offset < size and 0 <= start + offset < size):
                raise ImageError("its OME-XML names planes that the file does not have")
            pages[first + offset] = start + offset
    return pages
