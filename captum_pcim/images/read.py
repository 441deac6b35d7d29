"""Image files in, arrays of floats out: reading and scaling them.

PNG and JPEG are read with Pillow, TIFF with tifffile (``pip install 'captum-pcim[tiff]'``).
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captum_pcim._errors import describe, silenced

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Pixels = npt.NDArray[Any]
    FloatPixels = npt.NDArray[np.float32]

PILLOW_SUFFIXES = (".png", ".jpg", ".jpeg")
TIFF_SUFFIXES = (".tif", ".tiff")
SUFFIXES = PILLOW_SUFFIXES + TIFF_SUFFIXES
MAX_SAMPLES = 2**28  # pixels times stains; a header can claim any size


class ImageError(ValueError):
    """An image file cannot be used; the message says why."""


@dataclass(frozen=True)
class Window:
    """The intensities that become 0 and 1; those outside are clipped.

    Attributes:
        low: Becomes 0: an intensity, or a percentile of the image's stain.
        high: Becomes 1, likewise.
        percent: Whether the two are percentiles (0 to 100) of each image.
    """

    low: float
    high: float
    percent: bool = False

    def __post_init__(self) -> None:
        """Refuse a window that is empty or not a number."""
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"window: LOW must be below HIGH, got {self.low} and {self.high}")
        if self.percent and not (self.low >= 0 and self.high <= 100):
            raise ValueError(f"window: percentiles lie in 0..100, got {self.low} and {self.high}")

    @classmethod
    def parse(cls, low: str, high: str) -> Window:
        """Read ``"100", "4095"`` as intensities and ``"1%", "99.8%"`` as percentiles."""
        percent = low.endswith("%")
        if percent != high.endswith("%"):
            raise ValueError(f"window: both ends or neither in percent, got {low} and {high}")
        try:
            return cls(float(low.rstrip("%")), float(high.rstrip("%")), percent)
        except ValueError as error:
            if str(error).startswith("window"):
                raise
            raise ValueError(f"window: expected two numbers, got {low!r} and {high!r}") from None


def read_image(paths: Sequence[Path]) -> Pixels:
    """Read one image in the type it is stored in.

    A colour file gives its three colours (an alpha channel is dropped), a TIFF of several pages
    one stain a page, several files one stain each.

    Args:
        paths: The image's files.

    Returns:
        Array of shape (C, H, W).

    Raises:
        ImageError: If a file is damaged, not an image, of a kind that would lose bits, or if the
            stains' files differ in size or type.
        ImportError: If a TIFF is to be read and tifffile is not installed.
    """
    import numpy as np

    planes = [_read_file(path) for path in paths]
    first = planes[0]
    if any(plane.shape[1:] != first.shape[1:] or plane.dtype != first.dtype for plane in planes):
        kinds = ", ".join(f"{_size(plane)} {plane.dtype}" for plane in planes)
        raise ImageError(f"the stains' files differ: {kinds}")
    if len(paths) > 1 and any(len(plane) != 1 for plane in planes):
        raise ImageError("a file of one stain must be grey, but one has several channels")
    return np.concatenate(planes)


def scale(pixels: Pixels, windows: Sequence[Window] = ()) -> FloatPixels:
    """Turn stored intensities into the floats a network takes.

    Without a window, integers are divided by the largest value of their type (255 for 8 bit,
    65535 for 16 bit, even where a camera filled 12 of them) and floats are kept. With one,
    ``(x - low) / (high - low)``, clipped to [0, 1].

    Args:
        pixels: Array of shape (C, H, W).
        windows: None, one for all stains, or one a stain.

    Returns:
        float32 array of shape (C, H, W).

    Raises:
        ImageError: If the number of windows does not fit, an intensity is not finite, or an
            image's two percentiles are the same intensity.
    """
    import numpy as np

    if windows:
        return _apply_windows(pixels, windows)
    largest = np.iinfo(pixels.dtype).max if np.issubdtype(pixels.dtype, np.integer) else 1
    scaled: FloatPixels = (pixels / largest).astype(np.float32)
    return scaled


def _apply_windows(pixels: Pixels, windows: Sequence[Window]) -> FloatPixels:
    import numpy as np

    if len(windows) not in (1, len(pixels)):
        raise ImageError(f"{len(windows)} windows for {len(pixels)} stains")
    scaled = np.empty(pixels.shape, dtype=np.float32)
    for index, stain in enumerate(pixels):
        window = windows[index % len(windows)]
        bounds = (window.low, window.high)
        low, high = np.percentile(stain, bounds) if window.percent else bounds
        if low >= high:
            raise ImageError(f"stain {index}: both percentiles of the window are {low:g}")
        scaled[index] = np.clip((stain.astype(np.float64) - low) / (high - low), 0, 1)
    return scaled


def _read_file(path: Path) -> Pixels:
    """Read one file as (C, H, W); whatever a decoder raises becomes an ImageError."""
    try:
        data = path.read_bytes()
        pixels = _decode_tiff(data) if path.suffix.lower() in TIFF_SUFFIXES else _decode(data)
        return _usable(pixels)
    except (ImageError, ImportError):
        raise
    except Exception as error:  # decoders raise nearly any type on damaged bytes
        raise ImageError(f"cannot be read: {describe(error)}") from error


def _usable(pixels: Pixels) -> Pixels:
    import numpy as np

    if pixels.size == 0:
        raise ImageError("the image has no pixels")
    if np.issubdtype(pixels.dtype, np.floating):
        if not np.isfinite(pixels).all():
            raise ImageError("the image holds values that are not finite")
    elif not np.issubdtype(pixels.dtype, np.integer):
        raise ImageError(f"pixels of type {pixels.dtype} are not intensities")
    return pixels


def _decode(data: bytes) -> Pixels:
    import warnings

    import numpy as np
    from PIL import Image, UnidentifiedImageError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
        except UnidentifiedImageError:
            raise ImageError("not a PNG or JPEG image") from None
        with image:
            if image.format == "PNG":
                _refuse_lossy_png(data)
            image.load()
            if image.mode not in ("L", "I;16", "I"):
                # Palette, bilevel, alpha and CMYK images: their grey or their three colours.
                image = image.convert("L" if image.mode in ("1", "LA") else "RGB")
            pixels = np.asarray(image)
            if image.mode == "I":  # how older Pillow releases hold 16-bit grey
                pixels = pixels.astype(np.uint16)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(np.moveaxis(pixels, -1, 0))


def _refuse_lossy_png(data: bytes) -> None:
    """Pillow reads 16-bit colour and grey with alpha as 8 bit without a word."""
    depth, colour = data[24], data[25]  # of the header chunk, which comes first
    if depth == 16 and colour != 0:
        raise ImageError("a 16-bit colour PNG would be cut to 8 bit: save it as TIFF")


def _decode_tiff(data: bytes) -> Pixels:
    try:
        import tifffile
    except ImportError:
        raise ImportError(
            "reading TIFF files needs tifffile: pip install 'captum-pcim[tiff]'"
        ) from None
    import numpy as np

    # Pages, not series: a series may name further files, anywhere on the disk.
    with silenced("tifffile"), tifffile.TiffFile(io.BytesIO(data)) as file:
        pages = list(file.pages)
        _require_last_page(file, pages[-1])
        shapes = {page.shape for page in pages}
        if len(shapes) != 1:
            raise ImageError(f"the pages differ in size: {sorted(map(str, shapes))}")
        if math.prod(pages[0].shape) * len(pages) > MAX_SAMPLES:
            raise ImageError(f"{len(pages)} pages of {pages[0].shape} are too large")
        planes = [_channels_first(page.asarray(), page.axes) for page in pages]
    return np.concatenate(planes)


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


def _channels_first(pixels: Pixels, axes: str) -> Pixels:
    import numpy as np

    if axes not in ("YX", "YXS", "SYX"):
        raise ImageError(f"a page with the axes {axes} is not a flat image")
    if axes == "YX":
        return pixels[None]
    return np.moveaxis(pixels, axes.index("S"), 0)


def _size(pixels: Pixels) -> str:
    return "x".join(map(str, pixels.shape[1:]))
