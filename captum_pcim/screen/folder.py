"""The fields of view in a folder of files: names read, stains found, the rest counted."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from captum_pcim.images.read import SUFFIXES
from captum_pcim.images.stack import Plane
from captum_pcim.images.walk import ELSEWHERE, walk
from captum_pcim.images.wells import PLATE_FORMATS, find_well, row_letters, well_name
from captum_pcim.screen.config import ConfigError, ImageSettings
from captum_pcim.screen.instrument import Instrument, is_instrument_file, read_instrument
from captum_pcim.screen.layouts import Layout, Shot
from captum_pcim.screen.plane_files import FieldFiles, choose_planes
from captum_pcim.screen.plane_numbers import counted_from_1, without_plane_0
from captum_pcim.screen.plate import Survey
from captum_pcim.screen.plate_names import (
    KnownPlates,
    match_masks,
    name_plates,
    one_folder_a_plate,
    outside_wells,
    places_without_stains,
)

UNFIT = "images whose names do not fit the pattern"


def survey_folder(images: ImageSettings, exclude: str = "") -> Survey:
    """Lists the fields below a folder but not below one to exclude, and what is passed over."""
    found = Survey()
    layout = Layout(images.pattern)
    labels = Layout(images.labels, "images.labels") if images.labels else None
    shots, masks, instrument_files = _sorted_out(
        found, walk(Path(images.path), Path(exclude) if exclude else None), images, layout, labels
    )
    if layout.name == "imagexpress":
        shots, masks = without_plane_0(shots), without_plane_0(masks)
    shots = outside_wells(found, _with_wells(found, shots))
    instruments = _instruments(instrument_files, layout)
    shots, others = _with_stains(found, shots, images, instruments)
    shots = one_folder_a_plate(found, shots)
    where = KnownPlates(shots, name_plates(shots))
    shots, masks = counted_from_1(found, shots, masks, where)
    time, planes = choose_planes(images, shots)
    fields = FieldFiles(images, time, planes)
    for shot in shots:
        fields.add((where.named(shot), shot.name.well, shot.name.field), shot)
    for place in places_without_stains(found, others, shots, where, images.channels):
        fields.shots.setdefault(place, {})
    masks = _of_plane(found, masks, time or images.t, planes.z)
    mask_of = match_masks(found, masks, where, fields.shots)
    for field in fields:
        folder = where.folder[field.plate]
        size = instruments[folder].pixel_size if folder in instruments else ()
        place = (field.plate, field.well, field.site)
        found.fields.append(replace(field, labels=mask_of.get(place, ""), pixel_size=size))
    return found


# ---- what the files are --------------------------------------------------------------------------


def _sorted_out(
    found: Survey,
    walked: Iterable[tuple[Path, str]],
    images: ImageSettings,
    layout: Layout,
    labels: Layout | None,
) -> tuple[list[Shot], list[Shot], list[str]]:
    """The images, the label images and the instrument's own files below a folder."""
    shots: list[Shot] = []
    masks: list[Shot] = []
    instrument_files: list[str] = []
    base = os.path.abspath(images.path)
    for path, reason in walked:
        inner = path.relative_to(images.path).as_posix()
        if reason:
            found.remark(f"passed over ({reason})", inner, missing=reason == ELSEWHERE)
            continue
        try:
            mask = _shot(labels, base, path, inner) if labels else None
            shot = None if mask else _shot(layout, base, path, inner)
        except ConfigError as error:
            what = f"images whose names fit the pattern but {error}"
            found.remark(what, inner, missing=True)
            continue
        if mask:
            masks.append(mask)
        elif shot:
            shots.append(shot)
        elif is_instrument_file(path.name):
            instrument_files.append(str(path))
        elif path.suffix.lower() in SUFFIXES:
            found.remark(UNFIT, inner)
        else:
            found.remark("files that are no images", inner)
    return shots, masks, instrument_files


def _shot(layout: Layout, base: str, path: Path, inner: str) -> Shot | None:
    name = layout.read(inner)
    if name is None:
        return None
    above = f"{base}/{name.above}" if name.above else base
    return Shot(str(path), name, layout.plate_folder(above))


def _with_wells(found: Survey, shots: Sequence[Shot]) -> list[Shot]:
    """Names the wells that are only numbered: row by row on the smallest plate that has so many."""
    largest = max((shot.name.index for shot in shots), default=0)
    columns = next((n for rows, n in PLATE_FORMATS if largest <= rows * n), 48)
    named = []
    for shot in shots:
        name = shot.name
        if name.index and (well := find_well(name.prefix)):
            name = replace(name, well=well, prefix="")
        elif name.index:
            row, column = divmod(name.index - 1, columns)
            name = replace(name, well=well_name(row_letters(row), str(column + 1)), prefix="")
            told = f"wells told by a number alone, counted row by row over {columns} columns"
            found.remark(f"images of {told}", shot.path)
        named.append(replace(shot, name=name))
    return named


def _of_plane(found: Survey, masks: Sequence[Shot], time: int | None, plane: Plane) -> list[Shot]:
    """The label images of the time point and the plane that are explained, as far as names tell."""
    kept = []
    for mask in masks:
        at_time = time is None or mask.name.t in (None, time)
        if at_time and (not isinstance(plane, int) or mask.name.z in (None, plane)):
            kept.append(mask)
        else:
            found.remark("label images of other planes or time points", mask.path)
    return kept


# ---- stains --------------------------------------------------------------------------------------


def _instruments(paths: Sequence[str], layout: Layout) -> dict[str, Instrument]:
    by_folder: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        by_folder[layout.plate_folder(os.path.dirname(os.path.abspath(path)))].append(path)
    return {folder: read_instrument(files) for folder, files in by_folder.items()}


def _with_stains(
    found: Survey,
    shots: Sequence[Shot],
    images: ImageSettings,
    instruments: Mapping[str, Instrument],
) -> tuple[list[Shot], list[Shot]]:
    """Finds the stain that each file shows, by the file's own or the instrument's channel name.

    Returns:
        The files of the stains, and those of other channels.
    """
    known, others = [], []
    for shot in shots:
        channel = shot.name.channel
        if not channel:
            known.append(replace(shot, stain=-1))
            continue
        names = instruments[shot.folder].channels if shot.folder in instruments else {}
        called = names.get(channel.lstrip("0"), "")
        found.channels[f"{channel} ({called})" if called else channel] = None
        wanted = list(enumerate(images.channels))
        fits = [i for i, name in wanted if name in (channel, called)]
        fits = fits or [i for i, name in wanted if _same_number(name, channel)]
        known += [replace(shot, stain=stain) for stain in fits]
        if not fits:
            inner = os.path.relpath(shot.path, images.path)
            found.remark("images of channels that are not asked for", inner)
            others.append(shot)
    return known, others


def _same_number(one: str, other: str) -> bool:
    return one.isdecimal() and other.isdecimal() and int(one) == int(other)
