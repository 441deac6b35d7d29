"""The folder ``maps``: full maps once more, where people and their programs look for them.

They are made of the maps that results keep, so another form costs no run of the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from captum_pcim._extras import needed
from captum_pcim.screen.config import ScreenConfig
from captum_pcim.screen.identity import Key, ScreenPlan
from captum_pcim.screen.maps import FOLDER, StoredMap, stored_map
from captum_pcim.screen.plate import Remark
from captum_pcim.screen.report import safe_name
from captum_pcim.screen.store import FULL_MAP, Store

MADE_OF = "captum-pcim result "  # and its key, in a file's metadata
UNITS = {"nanometer": "nm", "micrometer": "micron", "millimeter": "mm"}  # as ImageJ calls them


def export_maps(config: ScreenConfig, plan: ScreenPlan, store: Store) -> list[Remark]:
    """Brings ``maps`` to what is done; what is there already stays, each file whole or not there.

    Args:
        config: The screen; ``output.maps`` says in which form, if in any.
        plan: Its keys.
        store: The results.

    Returns:
        What could not be written.

    Raises:
        ImportError: The library of the form is not installed.
        StoreError: The results folder cannot be written.
    """
    done = [key for key in plan.keys if store.done(key.sha, (FULL_MAP,))]
    if config.output.maps == "tiff":
        _export_tiffs(done, store)
    elif config.output.maps == "ome_zarr":
        from captum_pcim.screen.map_plates import export_plates

        return export_plates(config, done, store)
    return []


def _export_tiffs(keys: Sequence[Key], store: Store) -> None:
    named = {_name(key): key for key in keys}
    for name, key in named.items():
        if _made_of(store.path / name) != key.sha:
            with store.replacing(name) as path:
                write_tiff(path, stored_map(store.folder(key.sha) / FULL_MAP), key.sha)
    for path in (store.path / FOLDER).glob("*/*.tif"):
        if path.relative_to(store.path).as_posix() not in named and _made_of(path):
            path.unlink()  # of an image that is gone, or that failed since


def _name(key: Key) -> str:
    field = key.field
    return f"{FOLDER}/{safe_name(field.plate)}/{field.well}_{safe_name(field.site)}.tif"


def write_tiff(path: Path, stored: StoredMap, sha: str) -> None:
    """Writes a map as ImageJ's float32 hyperstack, with the size of its pixels and plane names.

    Args:
        path: The file to write.
        stored: The map.
        sha: Key of the result that it belongs to.
    """
    tifffile = needed("tifffile", "output.maps = 'tiff' needs", "tiff")
    unit = UNITS.get(stored.unit, stored.unit)
    height, width = stored.scale
    tifffile.imwrite(
        path,
        stored.weights,
        imagej=True,
        resolution=(1 / width, 1 / height),
        metadata={
            "axes": "CYX",
            "mode": "grayscale",
            "min": 0.0,
            "max": 1.0,
            "Labels": list(stored.names),
            "Info": MADE_OF + sha,
            **({"unit": unit} if unit else {}),
        },
    )


def _made_of(path: Path) -> str:
    """The key of the result that a file was made of; empty where it is none of ours."""
    tifffile = needed("tifffile", "output.maps = 'tiff' needs", "tiff")
    try:
        with tifffile.TiffFile(path) as file:
            told = str((file.imagej_metadata or {}).get("Info", ""))
    except (OSError, tifffile.TiffFileError):
        return ""
    return told.removeprefix(MADE_OF) if told.startswith(MADE_OF) else ""
