"""OME-Zarr plates (HCS layout, 0.4 and 0.5), read with the zarr library."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from captum_pcim.images.read import MAX_SAMPLES, ImageError
from captum_pcim.screen.config import ConfigError, ImageSettings
from captum_pcim.screen.plate import Field, well_name

if TYPE_CHECKING:
    from captum_pcim.images.read import Pixels


def zarr_library() -> Any:
    """The zarr module, or an error that says how to get it."""
    try:
        import zarr
    except ImportError as error:
        raise ImportError("OME-Zarr needs zarr: pip install 'captum-pcim[zarr]'") from error
    return zarr


def plate_fields(images: ImageSettings) -> Iterator[Field]:
    """Lists the fields of one plate, or of every ``*.zarr`` plate in a folder."""
    root = Path(images.path)
    plates = [root] if _is_group(root) else sorted(root.glob("*.zarr"))
    for path in plates:
        plate = _metadata(path).get("plate")
        if plate is None:
            raise ConfigError(f"images.path: {path} is no OME-Zarr plate: it has no plate metadata")
        name = str(plate.get("name") or path.name.removesuffix(".zarr"))
        for well in _paths(plate, "wells", path):
            yield from _well_fields(images, name, path / well)


def _well_fields(images: ImageSettings, plate: str, folder: Path) -> Iterator[Field]:
    well = well_name(folder.parent.name, folder.name)
    for site in _paths(_metadata(folder).get("well"), "images", folder):
        path = folder / site
        labels = str(path / "labels" / images.labels) if images.labels else ""
        yield Field(plate, well, site, (str(path),), labels)


def _paths(metadata: Any, name: str, folder: Path) -> list[str]:
    """The paths of a plate's wells or a well's images, which lie inside of it."""
    try:
        paths = [str(entry["path"]) for entry in metadata[name]]
    except (KeyError, TypeError) as error:
        raise ConfigError(f"images.path: {folder} lists no {name} with paths") from error
    for path in paths:
        if ".." in Path(path).parts or os.path.isabs(path):
            raise ConfigError(f"images.path: {folder} names {path!r}, which lies outside of it")
    return paths


def read_field(path: str, channels: list[str]) -> Pixels:
    """Reads the full-resolution image of one field.

    Args:
        path: The image's folder.
        channels: Labels of the wanted channels. Where the image names none, its channels are
            taken in order and must be as many.

    Returns:
        Array of shape (C, H, W) in the stored type.

    Raises:
        ImageError: A channel is missing, or the image has several time points or z planes.
    """
    metadata = _metadata(Path(path))
    pixels = _full_resolution(Path(path), metadata)
    if len(pixels) == 0:
        raise ImageError("the image has no channels")
    named = [str(c.get("label")) for c in metadata.get("omero", {}).get("channels", [])]
    if not named and len(pixels) == len(channels):
        return pixels
    missing = [name for name in channels if name not in named]
    if missing:
        raise ImageError(f"no channel {', '.join(missing)}; the image has {named or len(pixels)}")
    return np.stack([pixels[named.index(name)] for name in channels])


def read_labels(path: str) -> Pixels:
    """Reads a label image, shape (H, W)."""
    pixels = _full_resolution(Path(path), _metadata(Path(path)))
    if len(pixels) != 1:
        raise ImageError(f"a label image has one channel, this one {len(pixels)}")
    return np.asarray(pixels[0])


def scale_of(path: str) -> list[float]:
    """The size of a pixel in y and x, in the image's own units."""
    scale = _multiscale(_metadata(Path(path)))["datasets"][0]["coordinateTransformations"][0]
    return [float(value) for value in scale["scale"][-2:]]


def axes_of(path: str) -> list[dict[str, Any]]:
    """The image's y and x axes, with their units."""
    return list(_multiscale(_metadata(Path(path)))["axes"][-2:])


def array_files(path: str) -> Iterator[str]:
    """The files of an image without its labels', sorted."""
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if name != "labels")
        yield from (os.path.join(folder, name) for name in sorted(names))


def _full_resolution(path: Path, metadata: dict[str, Any]) -> Pixels:
    multiscale = _multiscale(metadata)
    array = zarr_library().open_array(path / multiscale["datasets"][0]["path"], mode="r")
    names = [axis["name"] for axis in multiscale["axes"]]
    for name, size in zip(names, array.shape, strict=True):
        if name not in ("c", "y", "x") and size != 1:
            raise ImageError(f"expected one plane along {name}, got {size}")
    if array.dtype.kind not in "uif" or math.prod(array.shape) > MAX_SAMPLES:
        raise ImageError(f"{array.shape} of type {array.dtype} is no image or is too large")
    pixels = np.asarray(array[...])
    if not np.isfinite(pixels).all():
        raise ImageError("the image holds values that are not finite")
    return np.asarray(pixels.reshape(-1, *pixels.shape[-2:]))


def _multiscale(metadata: dict[str, Any]) -> dict[str, Any]:
    if not metadata.get("multiscales"):
        raise ImageError("no OME-Zarr image: multiscales metadata is missing")
    return dict(metadata["multiscales"][0])


def _metadata(path: Path) -> dict[str, Any]:
    attributes = dict(zarr_library().open_group(path, mode="r").attrs)
    return dict(attributes.get("ome", attributes))


def _is_group(path: Path) -> bool:
    return (path / "zarr.json").exists() or (path / ".zgroup").exists()
