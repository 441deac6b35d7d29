"""Maps as OME-Zarr 0.5 plates in the HCS layout, beside images and labels; ome-zarr writes them.

A field ``1`` of a well is the image, with its label image; field ``1map`` is the map. The plate
lists them as two acquisitions, so that a program can show either.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from captum_pcim._extras import needed
from captum_pcim.images.stack import ImageError
from captum_pcim.screen.config import ScreenConfig
from captum_pcim.screen.identity import Key
from captum_pcim.screen.maps import FOLDER, UNIT_WINDOW, StoredMap, stored_map
from captum_pcim.screen.planes import read_object_numbers, read_pixels
from captum_pcim.screen.plate import Remark, Survey
from captum_pcim.screen.previews import stain_colours
from captum_pcim.screen.report import safe_name
from captum_pcim.screen.store import FULL_MAP, Store
from captum_pcim.screen.zarr_plate import zarr_library

IMAGES, MAPS = 0, 1  # numbers of the acquisitions
OWN = "captum_pcim"  # attributes of an image that tell of which result it was made
Write = Callable[[Any, ScreenConfig, Key, StoredMap], None]
SCALES = (2, 4)  # of the pyramid
NEEDS = "output.maps = 'ome_zarr' needs"
NO_LONGER_READ = "images that cannot be read any more, of which maps holds the map alone"


def export_plates(config: ScreenConfig, keys: Sequence[Key], store: Store) -> list[Remark]:
    """Brings the plates to what is done; fields that are there already stay.

    A field appears whole, and a well and the plate list it only afterwards. Wells and fields that
    are gone are no longer listed.

    Args:
        config: The screen.
        keys: Images whose results have full maps.
        store: The results.

    Returns:
        Images, or label images, that cannot be read any more.

    Raises:
        ImportError: ome-zarr is not installed.
        StoreError: The results folder cannot be written.
    """
    found = Survey()
    plates: dict[str, dict[str, list[Key]]] = {}
    for key in keys:
        plates.setdefault(key.field.plate, {}).setdefault(key.field.well, []).append(key)
    for plate, wells in plates.items():
        path = store.path / FOLDER / f"{safe_name(plate)}.zarr"
        root = zarr_library().open_group(path, mode="a", zarr_format=3)
        for well, fields in wells.items():
            group = root.require_group(_well_path(well))
            folder = path / _well_path(well)
            listed = list(_export_well(folder, fields, config, store, found))
            _writer().write_well_metadata(group, listed, fmt=_format())
        _list_plate(root, plate, wells)
    return found.remarks


def _export_well(
    folder: Path, keys: Sequence[Key], config: ScreenConfig, store: Store, found: Survey
) -> Iterator[dict[str, Any]]:
    """Yield what the well lists; an image that cannot be read is remarked, its map is listed."""
    forms = ((IMAGES, "", _write_image), (MAPS, "map", _write_map))
    for (acquisition, end, write), (number, key) in product(forms, enumerate(keys)):
        place = folder / f"{number}{end}"
        try:
            if _made_of(place) != key.sha:
                _export(place, write, config, key, store)
        except ImageError as error:
            found.remark(NO_LONGER_READ, f"{key.field}: {error}", missing=True)
            continue
        yield {"path": place.name, "acquisition": acquisition}


def _export(place: Path, write: Write, config: ScreenConfig, key: Key, store: Store) -> None:
    with store.temporary() as temporary:
        made = zarr_library().create_group(temporary / place.name, zarr_format=3)
        write(made, config, key, stored_map(store.folder(key.sha) / FULL_MAP))
        made.attrs[OWN] = {"result": key.sha, "field": key.field.site}
        _put(temporary / place.name, place, store)


def _put(made: Path, place: Path, store: Store) -> None:
    """Moves a finished image to its place; an older one of the place goes first."""
    if place.exists():
        store.remove(place)
    os.rename(made, place)


def _made_of(path: Path) -> str:
    if not (path / "zarr.json").is_file():
        return ""
    told = zarr_library().open_group(path, mode="r").attrs.get(OWN, {})
    return str(told.get("result", ""))


def _write_image(group: Any, config: ScreenConfig, key: Key, stored: StoredMap) -> None:
    pixels = read_pixels(key.field, config.images)
    colours = stain_colours(len(pixels), config.output.colours)
    channels = [
        {"label": stain, "color": colour[1:].upper(), "active": True, "window": _window(plane)}
        for stain, plane, colour in zip(config.images.stains, pixels, colours, strict=True)
    ]
    _write_planes(group, pixels, channels, stored, name=str(key.field))
    if not key.field.labels:
        return
    labels = read_object_numbers(key.field, pixels.shape[1:])
    small = labels.astype(np.uint32 if labels.max(initial=0) < 2**32 else np.uint64)
    name = safe_name(config.images.objects).lower()
    _writer().write_labels(
        small, group, name=name, axes="yx", fmt=_format(), scaler=None, scale_factors=SCALES,
        **_pixels(stored),
    )  # fmt: skip
    group["labels"].attrs["ome"] = {"version": "0.5", "labels": [name]}  # ome-zarr lists none


def _write_map(group: Any, config: ScreenConfig, key: Key, stored: StoredMap) -> None:
    channels = [
        {"label": f"weight of {name}", "color": "FFFFFF", "active": True, "window": UNIT_WINDOW}
        for name in stored.names
    ]
    _write_planes(group, stored.weights, channels, stored, name=f"{key.field} map")


def _write_planes(
    group: Any, planes: Any, channels: Sequence[dict[str, Any]], stored: StoredMap, name: str
) -> None:
    _writer().write_image(
        planes, group, name=name, axes="cyx", fmt=_format(), scale_factors=SCALES,
        **_pixels(stored),
    )  # fmt: skip
    group.attrs["ome"] = {**group.attrs["ome"], "omero": {"channels": list(channels)}}


def _pixels(stored: StoredMap) -> dict[str, Any]:
    height, width = stored.scale
    units = {"axes_units": dict.fromkeys("yx", stored.unit)} if stored.unit else {}
    return {"scale": {"y": height, "x": width}, **units}


def _window(plane: Any) -> dict[str, float]:
    low, high = float(plane.min()), float(plane.max())
    return {"min": low, "max": high, "start": low, "end": high}


def _list_plate(root: Any, plate: str, wells: dict[str, list[Key]]) -> None:
    paths = sorted(map(_well_path, wells))
    rows, columns = ({path.split("/")[i] for path in paths} for i in (0, 1))
    _writer().write_plate_metadata(
        root,
        sorted(rows, key=lambda name: (len(name), name)),
        sorted(columns),
        paths,
        fmt=_format(),
        acquisitions=[{"id": IMAGES, "name": "images"}, {"id": MAPS, "name": "maps"}],
        field_count=max(map(len, wells.values())),
        name=plate,
    )


def _well_path(well: str) -> str:
    letters = well.rstrip("0123456789")
    return f"{letters}/{well[len(letters) :]}"


def _writer() -> Any:
    return needed("ome_zarr.writer", NEEDS, "ome-zarr")


def _format() -> Any:
    return needed("ome_zarr.format", NEEDS, "ome-zarr").FormatV05()
