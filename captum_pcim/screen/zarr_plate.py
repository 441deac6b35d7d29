"""OME-Zarr plates (HCS layout, 0.4 and 0.5), read with the zarr library."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from captum_pcim._extras import needed
from captum_pcim.images.labels import Labels, labels_of
from captum_pcim.images.read import decoding
from captum_pcim.images.stack import ImageError, Pixels, Plane, Stack
from captum_pcim.images.walk import ELSEWHERE, find_stores, leaves
from captum_pcim.images.wells import well_name
from captum_pcim.screen.config import ConfigError, ImageSettings
from captum_pcim.screen.plate import Field, Survey
from captum_pcim.screen.plate_names import different_names
from captum_pcim.screen.zarr_axes import axes_yx, axis_letters, scale_yx
from captum_pcim.screen.zarr_chunks import check_chunks, require_chunks

SUFFIX = ".zarr"
NO_IMAGE = "the well lists the image, but it has no folder"


def zarr_library() -> Any:
    """The zarr module, or an error that says how to get it."""
    return needed("zarr", "OME-Zarr needs", "zarr")


# ---- plates --------------------------------------------------------------------------------------


def survey_zarr(images: ImageSettings, exclude: str = "") -> Survey:
    """Lists the fields of one plate, or of every plate below a folder but not below one to exclude.

    Raises:
        ConfigError: It is no plate, names what lies outside of it, or has several acquisitions and
            none was chosen.
    """
    found = Survey()
    plates = _plates(found, Path(images.path), Path(exclude) if exclude else None)
    names = _names(plates)
    for path, plate in plates.items():
        acquisition = _acquisition(plate, images.acquisition, path)
        for well in _paths(plate, "wells", path):
            _add_well(found, images, names[path], path / well["path"], acquisition)
    for one in found.fields:
        if not one.problem:
            with contextlib.suppress(ImageError):  # told where the image is read
                names_of = _channel_names(_metadata(Path(one.files[0][0])))
                found.channels.update(dict.fromkeys(names_of))
            break
    return found


def _plates(found: Survey, root: Path, exclude: Path | None) -> dict[Path, dict[str, Any]]:
    """The plates at or below a folder, and their metadata."""
    stores = [(root, "")] if _is_group(root) else find_stores(root, _is_store, exclude)
    plates = {}
    for path, reason in stores:
        if reason:
            found.remark(f"passed over ({reason})", path, missing=True)
            continue
        try:
            plate = _metadata(path).get("plate")
        except ImageError as error:
            raise ConfigError(f"images.path: {path}: {error}") from error
        if not isinstance(plate, dict) and path == root:
            raise ConfigError(f"images.path: {path} is no OME-Zarr plate: it has no plate metadata")
        if isinstance(plate, dict):
            plates[path] = plate
        else:
            found.remark("Zarr stores that are no plate", path)
    return plates


def _names(plates: Mapping[Path, dict[str, Any]]) -> dict[Path, str]:
    """What plates are called: as they say, or where that is another's, too, by their folders."""
    own: dict[str, Path] = {}
    for path in plates:
        short = str(path).removesuffix(SUFFIX)
        own[str(path) if short in own else short] = path
    names = different_names(
        list(own), lambda folder: str(plates[own[folder]].get("name") or os.path.basename(folder))
    )
    return {path: names[folder] for folder, path in own.items()}


def _acquisition(plate: dict[str, Any], wanted: int | str | None, path: Path) -> Any:
    """The acquisition that is asked for, by its number or name; None where there is only one."""
    listed = {a.get("id"): a.get("name", a.get("id")) for a in plate.get("acquisitions") or []}
    if len(listed) < 2 and wanted is None:
        return None
    for number, name in listed.items():
        if wanted is not None and wanted in (number, name):
            return number
    told = ", ".join(f"{number} ({name})" for number, name in listed.items()) or "none"
    came = "none was chosen" if wanted is None else f"got {wanted!r}"
    raise ConfigError(
        f"images.acquisition: {path} has the acquisitions {told}; expected one of them, {came}"
    )


def _add_well(
    found: Survey, images: ImageSettings, plate: str, folder: Path, acquisition: Any
) -> None:
    try:
        well = well_name(folder.parent.name, folder.name)
    except ValueError as error:
        raise ConfigError(f"images.path: {folder}: {error}") from error
    root = Path(images.path).resolve()
    metadata, problem = ({}, ELSEWHERE) if leaves(folder, root) else _well_metadata(folder)
    if problem:
        found.fields.append(
            Field(plate, well, "", ((str(folder),),), together=True, problem=problem)
        )
        return
    listed = _paths(metadata, "images", folder)
    if not listed:
        found.remark("wells that list no image", f"{plate} {well}")
    for image in listed:
        if acquisition is not None and image.get("acquisition", acquisition) != acquisition:
            continue
        path = folder / image["path"]
        outside = leaves(path, root)
        labels = path / "labels" / images.labels if images.labels and not outside else None
        if labels and leaves(labels, root):
            found.remark(f"passed over ({ELSEWHERE})", labels, missing=True)
            labels = None
        if labels and not labels.is_dir() and labels.parent.is_dir():
            others = ", ".join(sorted(e.name for e in labels.parent.iterdir() if e.is_dir()))
            found.remark(f"label images that are not called {images.labels!r}", f"{path}: {others}")
        found.fields.append(
            Field(
                plate,
                well,
                str(image["path"]),
                ((str(path),),),
                labels=str(labels) if labels and labels.is_dir() else "",
                together=True,
                z=images.z,
                t=images.t,
                plane=str(images.z or 1),
                time=str(images.t or 1),
                problem=ELSEWHERE if outside else "" if path.is_dir() else NO_IMAGE,
            )
        )


def _well_metadata(folder: Path) -> tuple[dict[str, Any], str]:
    """What a well says of its images, and why it says nothing."""
    if not folder.is_dir():
        return {}, "the plate lists the well, but it has no folder"
    try:
        metadata = _metadata(folder).get("well")
    except ImageError as error:
        return {}, str(error)
    if not isinstance(metadata, dict) or "images" not in metadata:
        return {}, "the well does not list its images"
    return metadata, ""


def _paths(metadata: Any, name: str, folder: Path) -> list[dict[str, Any]]:
    """What a plate's wells or a well's images are, which lie inside of it."""
    try:
        entries = [{**entry, "path": str(entry["path"])} for entry in metadata[name]]
    except (KeyError, TypeError) as error:
        raise ConfigError(f"images.path: {folder} lists no {name} with paths") from error
    for entry in entries:
        if ".." in Path(entry["path"]).parts or os.path.isabs(entry["path"]):
            raise ConfigError(
                f"images.path: {folder} names {entry['path']!r}, which lies outside of it"
            )
    return entries


# ---- images --------------------------------------------------------------------------------------


def read_field(path: str, channels: Sequence[str], z: Plane = None, t: int | None = None) -> Pixels:
    """Reads the full-resolution image of one field.

    Args:
        path: The image's folder.
        channels: Names of the wanted channels. Where the image names none, its channels are taken
            in order and must be as many.
        z: The plane along z, or the projection; None where there is only one.
        t: The time point; None where there is only one.

    Returns:
        Array of shape (C, H, W) in the stored type.

    Raises:
        ImageError: A channel is missing, a chunk is damaged, or there are time points or planes
            and none was chosen.
    """
    with decoding():
        pixels = open_zarr(Path(path)).image(z, t, channels)
    if pixels.min() == pixels.max():
        require_chunks(Path(path) / _multiscale(_metadata(Path(path)))["datasets"][0]["path"])
    if not np.isfinite(pixels).all():
        raise ImageError("the image holds values that are not finite")
    return pixels


def read_labels(path: str, z: Plane = None, t: int | None = None) -> Labels:
    """Reads a label image, shape (H, W), with or without an axis of channels."""
    with decoding():
        return labels_of(open_zarr(Path(path)), z, t)


def open_zarr(path: Path) -> Stack:
    """Opens the full resolution of an OME-Zarr image as a stack.

    Raises:
        ImageError: It is no image.
    """
    metadata = _metadata(path)
    multiscale = _multiscale(metadata)
    folder = path / multiscale["datasets"][0]["path"]
    array = zarr_library().open_array(folder, mode="r")
    axes = axis_letters(multiscale["axes"])
    if len(axes) != array.ndim or not {"Y", "X"} <= set(axes):
        raise ImageError(f"the axes {axes} are not those of an image of shape {array.shape}")
    if array.dtype.kind not in "uifb":
        raise ImageError(f"{array.shape} of type {array.dtype} is no image")
    sizes = dict(zip(axes, array.shape, strict=True))
    odd = [axis for axis, size in sizes.items() if axis not in "TCZYX" and size != 1]
    if odd:
        raise ImageError(f"expected one image along {odd[0]}, got {sizes[odd[0]]}")

    def plane(time: int, stain: int, number: int) -> Pixels:
        whole = slice(None)
        at: dict[str, int | slice] = {"T": time, "C": stain, "Z": number, "Y": whole, "X": whole}
        selection = tuple(at.get(axis, 0) for axis in axes)
        check_chunks(folder, array, selection)
        pixels = np.asarray(array[selection])
        return pixels if axes.index("Y") < axes.index("X") else pixels.T

    counts = [sizes.get(axis, 1) for axis in "TCZ"]
    return Stack(counts[0], counts[1], counts[2], plane, tuple(_channel_names(metadata)))


def _channel_names(metadata: dict[str, Any]) -> list[str]:
    channels = (metadata.get("omero") or {}).get("channels") or []
    names = [str(channel.get("label") or "") for channel in channels]
    return names if any(names) else []


def scale_of(path: str) -> list[float]:
    """The size of a pixel in y and x, in the image's own units; 1 where it does not tell."""
    return scale_yx(_multiscale(_metadata(Path(path))))


def axes_of(path: str) -> list[dict[str, Any]]:
    """The image's y and x axes, with their units."""
    return axes_yx(_multiscale(_metadata(Path(path))))


def array_files(path: str) -> Iterator[str]:
    """The files of an image without its labels', sorted."""
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if name != "labels")
        yield from (os.path.join(folder, name) for name in sorted(names))


def _multiscale(metadata: dict[str, Any]) -> dict[str, Any]:
    if not metadata.get("multiscales"):
        raise ImageError("no OME-Zarr image: multiscales metadata is missing")
    return dict(metadata["multiscales"][0])


def _metadata(path: Path) -> dict[str, Any]:
    try:
        attributes = dict(zarr_library().open_group(path, mode="r").attrs)
    except FileNotFoundError:
        return {}
    except ValueError as error:  # JSON that is none
        raise ImageError(f"its metadata cannot be read: {error}") from error
    return dict(attributes.get("ome", attributes))


def _is_group(path: Path) -> bool:
    return (path / "zarr.json").exists() or (path / ".zgroup").exists()


def _is_store(path: Path) -> bool:
    return path.name.endswith(SUFFIX) or _is_group(path)
