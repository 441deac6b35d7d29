"""TIFF files: what their axes are, and their planes.

The axes are those of OME-XML, of ImageJ's and of tifffile's own description, and of the formats of
microscopes that tifffile knows. Pages of which nothing is said are stains. Read with tifffile
(``pip install 'captum-pcim[tiff]'``).
"""

from __future__ import annotations

import contextlib
import math
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from captum_pcim._errors import silenced
from captum_pcim._extras import needed
from captum_pcim.images.stack import MAX_SAMPLES, ImageError, Pixels, Stack

# TIFF 6.0, sections 3, 5, 18 and 22: PhotometricInterpretation, ExtraSamples, Compression.
WHITE_IS_ZERO, PALETTE, SEPARATED, YCBCR, CIELAB = 0, 3, 5, 6, 8
ALPHA = (1, 2)
UNCOMPRESSED, JPEG, JPEG_END = 1, (6, 7), b"\xff\xd9"


@contextlib.contextmanager
def open_tiff(path: Path, labels: bool = False) -> Iterator[Stack]:
    """Open a TIFF file as a stack.

    Args:
        path: The file.
        labels: Whether its numbers are object numbers: then a palette's indices and the numbers
            as they are stored, not the colours or the intensities that they stand for.

    Yields:
        The stack. Its planes can be read until the file is closed again.

    Raises:
        ImageError: The file is damaged, holds several images, or colours that are no stains.
        ImportError: tifffile is not installed.
    """
    tifffile = needed("tifffile", "reading TIFF files needs", "tiff")
    # An OME-TIFF may name further files, anywhere on the disk: these are not opened.
    with silenced("tifffile"), tifffile.TiffFile(path, _multifile=False) as file:
        _refuse_entities(file)
        _require_last_page(file, file.pages[-1])
        yield _stack(file, _only_series(file), labels)


def _stack(file: Any, series: Any, labels: bool) -> Stack:
    leading, sizes = _leading(series, file.is_imagej)
    samples = _samples(series.keyframe)
    kept = _kept(series.keyframe, labels)
    _require_exact(series.keyframe, labels)
    unsaid = any(axis in series.axes for axis in "IQ") and "Z" not in leading
    if unsaid and len(kept) > 1:  # colours are the stains, so further pages are none
        leading, unsaid = leading.replace("C", "Z"), False
    lookup = {"T": 1, "C": 1, "Z": 1} | dict(zip(leading, sizes, strict=True))
    read = _page_reader(file, series, math.prod(sizes))

    def plane(time: int, stain: int, number: int) -> Pixels:
        at = {"T": time, "C": stain // len(kept), "Z": number}
        index = 0
        for axis, size in zip(leading, sizes, strict=True):
            index = index * size + at[axis]
        pixels = read(index)
        if samples is not None:
            pixels = pixels.take(kept[stain % len(kept)], axis=samples)
        return pixels if labels else _intensities(pixels, series.keyframe, stain % len(kept))

    stains = lookup["C"] * len(kept)
    names = _names(file, leading, sizes) if len(kept) == 1 else ()
    return Stack(lookup["T"], stains, lookup["Z"], plane, names, bool(file.is_ome), unsaid)


# ---- which planes there are ----------------------------------------------------------------------


def _only_series(file: Any) -> Any:
    """The file's one image; smaller copies of it are no images of their own."""
    found = [one for one in file.series if not one.keyframe.is_reduced]
    kinds = {one.kind for one in found}
    n_pages = len(file.pages)
    if file.is_ome and kinds != {"ome"} and n_pages > 1:
        raise ImageError(_why_no_ome(file))
    if file.is_imagej and not kinds & {"imagej", "ome"}:
        raise ImageError("cannot be read: it ends before the last plane that ImageJ tells of")
    if len(found) != 1 and file.is_ome:
        raise ImageError(f"expected one image a file, the OME-TIFF has {len(found)}")
    if len(found) != 1:
        raise ImageError(f"the pages differ: {'; '.join(sorted(set(map(_kind, found))))}")
    if any(page is None for page in found[0].pages):
        raise ImageError(f"its OME-XML tells of planes that the file does not have: {n_pages}")
    told = {
        page.index for one in file.series for level in one.levels for page in level.pages if page
    }
    if left := [number for number in range(n_pages) if number not in told]:
        raise ImageError(
            f"its description tells of {n_pages - len(left)} pages, the file has {n_pages}: which "
            "of them are the image is not told"
        )
    return found[0]


def _kind(series: Any) -> str:
    """What pages of one image have in common."""
    compression = getattr(series.keyframe.compression, "name", series.keyframe.compression)
    size = "x".join(map(str, series.keyframe.shape))
    return f"{size} {series.dtype}, compression {compression}"


def _why_no_ome(file: Any) -> str:
    text = file.ome_metadata
    if "FileName=" in text or "BinaryOnly" in text:
        return "one of several files of an OME-TIFF: which planes it holds is not told apart here"
    return "its OME-XML is damaged, or tells of planes that the file does not have"


def _leading(series: Any, is_imagej: bool) -> tuple[str, tuple[int, ...]]:
    """The axes that number the pages, as letters of T, C and Z, and their sizes."""
    page_axes = series.keyframe.axes
    if page_axes not in ("YX", "YXS", "SYX"):
        raise ImageError(f"a page with the axes {page_axes} is not a flat image")
    count = len(series.axes) - len(page_axes)
    axes, sizes = series.axes[:count], tuple(series.shape[:count])
    if series.axes[count:] != page_axes:
        raise ImageError(f"the axes {series.axes} do not end in those of a page, {page_axes}")
    # I and Q: pages of which nothing is said. ImageJ's are slices.
    axes = axes.replace("I", "Q").replace("Q", "Z" if is_imagej else "C", 1)
    for axis, size in zip(axes, sizes, strict=True):
        if axis not in "TCZ" and size != 1:
            raise ImageError(f"expected one image along {axis}, got {size}")
    if any(axes.count(axis) > 1 for axis in "TCZ"):
        raise ImageError(f"the axes {series.axes} do not tell stains from planes")
    told = [(axis, size) for axis, size in zip(axes, sizes, strict=True) if axis in "TCZ"]
    return "".join(axis for axis, _ in told), tuple(size for _, size in told)


def _names(file: Any, leading: str, sizes: tuple[int, ...]) -> tuple[str, ...]:
    """Names of the stains in OME-XML, or in ImageJ's labels of the slices."""
    if file.is_ome:
        root = _ome_xml(file)
        names = [str(one.get("Name", "")) for one in root.iterfind("{*}Image/{*}Pixels/{*}Channel")]
        return tuple(names) if any(names) else ()
    labels = (file.imagej_metadata or {}).get("Labels", []) if file.is_imagej else []
    if len(labels) != math.prod(sizes) or "C" not in leading:
        return ()
    stride = math.prod(sizes[leading.index("C") + 1 :])
    return tuple(str(labels[i * stride]) for i in range(sizes[leading.index("C")]))


def _ome_xml(file: Any) -> Any:
    from xml.etree import ElementTree

    return ElementTree.fromstring(file.ome_metadata)


def _refuse_entities(file: Any) -> None:
    text = file.ome_metadata or ""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # OME-XML has none; expanding them is a risk
        raise ImageError("its OME-XML declares entities")


def _require_last_page(file: Any, page: Any) -> None:
    """tifffile drops the pages that it cannot read, which are then missing from the image.

    TIFF 6.0, section 2: a directory is a count, its entries, and the offset of the next directory,
    0 after the last.
    """
    layout, stream = file.tiff, file.filehandle
    stream.seek(page.offset)
    (n_entries,) = struct.unpack(layout.tagnoformat, stream.read(layout.tagnosize))
    stream.seek(n_entries * layout.tagsize, 1)
    (following,) = struct.unpack(layout.offsetformat, stream.read(layout.offsetsize))
    if following != 0:
        raise ImageError("cannot be read: the file ends before its last page")


# ---- the pixels of a plane -----------------------------------------------------------------------


def _page_reader(file: Any, series: Any, n_planes: int) -> Callable[[int], Pixels]:
    if math.prod(series.keyframe.shape) > MAX_SAMPLES:
        raise ImageError(f"a page of {series.keyframe.shape} is too large")
    pages = list(series.pages)
    if len(pages) == n_planes:
        return lambda index: _whole(file, pages[index])
    # ImageJ keeps stacks of more than 4 GB in one directory, their planes one after the other.
    if series.dataoffset is None:
        raise ImageError(f"{n_planes} planes are told of, the file has {len(pages)}")
    page = series.keyframe

    def read(index: int) -> Pixels:
        file.filehandle.seek(series.dataoffset + index * page.nbytes)
        dtype = page.dtype.newbyteorder(file.byteorder)
        pixels = file.filehandle.read_array(dtype, math.prod(page.shape))
        return pixels.reshape(page.shape)  # type: ignore[no-any-return]

    return read


def _whole(file: Any, page: Any) -> Pixels:
    """A page whose every part is there, as far as its compression tells."""
    offsets, sizes = page.dataoffsets, page.databytecounts
    empty = sum(size == 0 or offset == 0 for offset, size in zip(offsets, sizes, strict=True))
    if empty:
        raise ImageError(f"cannot be read: {empty} of {len(sizes)} parts of a page are empty")
    # Decoders may make noise of what is missing; uncompressed parts are checked when they are read.
    ends = (offset + size for offset, size in zip(offsets, sizes, strict=True))
    if page.compression != UNCOMPRESSED and any(end > file.filehandle.size for end in ends):
        raise ImageError("cannot be read: the file ends before the last part of a page")
    if page.compression in JPEG:
        for offset, size in zip(offsets, sizes, strict=True):
            file.filehandle.seek(offset + max(size - 16, 0))
            if JPEG_END not in file.filehandle.read(min(size, 16)):
                raise ImageError("cannot be read: a part of a page is cut off")
    return page.asarray()  # type: ignore[no-any-return]


def _samples(page: Any) -> int | None:
    axis = page.axes.find("S")
    return axis if axis >= 0 else None


def _kept(page: Any, labels: bool) -> list[int]:
    """The samples of a pixel that are stains: neither alpha nor another colour space's."""
    encoded = page.photometric == YCBCR and page.compression not in JPEG  # JPEG decodes to RGB
    if page.photometric in (SEPARATED, CIELAB) or encoded:
        raise ImageError("colours that are neither RGB nor stains: save the image as RGB")
    if page.photometric == PALETTE and not labels:
        return [0] if _palette_is_grey(page) else [0, 1, 2]
    if "S" not in page.axes:
        return [0]
    n_samples = page.shape[page.axes.index("S")]
    extra = [int(kind) for kind in page.extrasamples]
    alpha = [n_samples - len(extra) + i for i, kind in enumerate(extra) if kind in ALPHA]
    return [i for i in range(n_samples) if i not in alpha]


def _require_exact(page: Any, labels: bool) -> None:
    if labels and page.compression in JPEG:
        raise ImageError("JPEG changes object numbers: save labels uncompressed, or as PNG")
    if not labels and page.photometric == WHITE_IS_ZERO and page.dtype.kind not in "bu":
        raise ImageError(
            f"black on white in {page.dtype}, which has no white: save the image with 0 as black"
        )


def _palette_is_grey(page: Any) -> bool:
    red, green, blue = page.colormap
    return bool((red == green).all() and (green == blue).all())


def _intensities(pixels: Pixels, page: Any, stain: int) -> Pixels:
    """What stored numbers stand for, in the range that PNG files give."""
    if page.photometric == PALETTE:
        return np.asarray((page.colormap[stain] >> 8).astype(np.uint8)[pixels])
    white = 2**page.bitspersample - 1  # 12 bits are stored in 16
    if page.photometric == WHITE_IS_ZERO:
        pixels = ~pixels if pixels.dtype == bool else pixels.dtype.type(white) - pixels
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    elif page.bitspersample in (2, 4):
        pixels = pixels * np.uint8(255 // white)
    return pixels
