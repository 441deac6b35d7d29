"""The size of a pixel, where a TIFF file tells: in OME-XML, ImageJ's or MetaMorph's description."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from captum_pcim._errors import silenced
from captum_pcim._extras import needed

UNITS = {
    "nm": "nanometer",
    "µm": "micrometer",
    "um": "micrometer",
    "micron": "micrometer",
    "microns": "micrometer",
    "\\u00b5m": "micrometer",
    "mm": "millimeter",
}


def pixel_size(path: Path) -> tuple[tuple[float, float], str] | None:
    """Read the size of a pixel.

    Args:
        path: A TIFF file.

    Returns:
        Its height and width, and their unit as OME-Zarr writes it; None where the file does not
        tell.
    """
    tifffile = needed("tifffile", "reading TIFF files needs", "tiff")
    with silenced("tifffile"), tifffile.TiffFile(path, _multifile=False) as file:
        if file.is_ome:
            return _from_ome(file.ome_metadata)
        if file.is_imagej:
            return _from_imagej(file)
        if file.is_metaseries:
            return _from_metamorph(file.metaseries_metadata.get("PlaneInfo", {}))
    return None


def _from_ome(text: str) -> tuple[tuple[float, float], str] | None:
    from xml.etree import ElementTree

    if "<!DOCTYPE" in text:
        return None
    pixels = ElementTree.fromstring(text).find("{*}Image/{*}Pixels")
    if pixels is None:
        return None
    sizes = [pixels.get(f"PhysicalSize{axis}") for axis in "YX"]
    units = [pixels.get(f"PhysicalSize{axis}Unit", "µm") for axis in "YX"]
    return _known(sizes, *units)


def _from_imagej(file: Any) -> tuple[tuple[float, float], str] | None:
    tags, unit = file.pages[0].tags, str((file.imagej_metadata or {}).get("unit", ""))
    if "YResolution" not in tags or "XResolution" not in tags:
        return None
    per_unit = [tags[f"{axis}Resolution"].value for axis in "YX"]
    if any(0 in value for value in per_unit):
        return None
    return _known([below / above for above, below in per_unit], unit, unit)


def _from_metamorph(plane: dict[str, Any]) -> tuple[tuple[float, float], str] | None:
    unit = str(plane.get("spatial-calibration-units", ""))
    return _known([plane.get(f"spatial-calibration-{axis}") for axis in "yx"], unit, unit)


def _known(sizes: list[Any], *units: str) -> tuple[tuple[float, float], str] | None:
    """The sizes, if both are there in one unit that is known."""
    named = {UNITS.get(unit.lower()) for unit in units}
    if len(sizes) != 2 or not all(sizes) or len(named) != 1 or None in named:
        return None
    return (float(sizes[0]), float(sizes[1])), str(named.pop())
