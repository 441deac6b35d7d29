"""What a screen would do, in words, before any network is loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from captum_pcim.images.stack import ImageError
from captum_pcim.screen.config import ScreenConfig
from captum_pcim.screen.identity import plate_fields
from captum_pcim.screen.planes import read_object_numbers, read_pixels
from captum_pcim.screen.plate import Field, Survey
from captum_pcim.screen.reading import plate_windows


def list_screen(config: ScreenConfig, found: Survey) -> Iterator[str]:
    """Says what would be done: plates, fields, stains, the first image and windows, what is amiss.

    Args:
        config: The screen.
        found: Its fields.

    Yields:
        Lines of text.
    """
    images = config.images
    yield f"images: {images.source} {images.path}"
    for stain, channel in zip(images.stains, images.channels, strict=True):
        yield f"stain {stain}: channel {channel}"
    yield f"channels found: {', '.join(found.channels) or 'none named'}"
    plates: dict[str, list[Field]] = {}
    for field in found.fields:
        plates.setdefault(field.plate, []).append(field)
    yield f"plates: {len(plates)}"
    for plate, fields in plates.items():
        yield from _plate(config, plate, fields)
    if config.cells.size:
        told = f"cells: crops of {config.cells.size} pixels about every object"
        yield f"{told}, resized to {config.cells.scale}" if config.cells.scale else told
    yield from _first_image(config, found.fields)
    yield from _first_windows(config, plates)
    yield from _absent_files(found.fields)
    for remark in found.remarks:
        yield f"{'missing' if remark.missing else 'ignored'}: {remark}"


def _plate(config: ScreenConfig, plate: str, fields: Sequence[Field]) -> Iterator[str]:
    wells = list(dict.fromkeys(field.well for field in fields))
    planes = ", ".join(dict.fromkeys(field.plane for field in fields))
    times = ", ".join(dict.fromkeys(field.time for field in fields))
    text = (
        f"plate {plate}: wells {len(wells)} ({wells[0]} to {wells[-1]}), fields {len(fields)}, "
        f"z {planes}, t {times}"
    )
    if config.images.labels:
        text += f", label images {sum(bool(field.labels) for field in fields)}"
    if config.controls.wells:
        text += f", control fields {len(plate_fields(config, fields).controls)}"
    if failing := sum(bool(field.problem) for field in fields):
        text += f", unreadable {failing}"
    yield text


def _first_image(config: ScreenConfig, fields: Sequence[Field]) -> Iterator[str]:
    field = next((field for field in fields if not field.problem), None)
    if field is None:
        return
    try:
        pixels = read_pixels(field, config.images)
        height, width = pixels.shape[1:]
        text = f"first image, {field}: {len(pixels)} stains of {height} x {width}, {pixels.dtype}"
        text += f", intensities {pixels.min():g} to {pixels.max():g}"
        if field.labels:
            labels = read_object_numbers(field, pixels.shape[1:])
            text += f", {len(set(labels[labels > 0].tolist()))} objects"
        yield text
    except ImageError as error:
        yield f"first image, {field}: {error}"


def _first_windows(config: ScreenConfig, plates: dict[str, list[Field]]) -> Iterator[str]:
    plate, fields = next(iter(plates.items()))
    try:
        windows = plate_windows(config, plate, plate_fields(config, fields).windows)
    except ImageError as error:
        yield f"windows: {error}"
        return
    if not windows:
        yield "windows: none; whole numbers are divided by the largest of their type"
    elif any(window.measured for window in windows):
        yield f"windows: {config.windows.told(config.images.stains)}"
    else:
        told = zip(config.images.stains, windows, strict=False)
        text = ", ".join(f"{stain} {window.low:g} to {window.high:g}" for stain, window in told)
        yield f"windows of plate {plate}: {text}"


def _absent_files(fields: Sequence[Field]) -> Iterator[str]:
    """Files that a load file names and that are not there: no folder was searched for them."""
    paths = {
        path
        for field in fields
        if field.number and not field.problem
        for path in (
            *(p for stain in field.files for p in stain),
            field.labels,
            *field.illumination,
        )
        if path
    }
    absent = sorted(path for path in paths if not os.path.exists(path))
    if absent:
        yield f"missing: files that are named and not there: {len(absent)}, for example {absent[0]}"
