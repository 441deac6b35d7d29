"""The fields of view in a folder of files: names read, plates told apart, planes chosen."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from captum_pcim.images.read import SUFFIXES
from captum_pcim.images.stack import PROJECTIONS, ImageError, Plane, chosen_planes, chosen_time
from captum_pcim.images.walk import walk
from captum_pcim.screen.config import ConfigError, ImageSettings
from captum_pcim.screen.instrument import Instrument, is_instrument_file, read_instrument
from captum_pcim.screen.layouts import Layout, Name, plate_name
from captum_pcim.screen.plate import WELL, Field, Survey, row_letters, well_name

Place = tuple[str, str, str]  # plate, well, field

PLATE_COLUMNS = {96: 12, 384: 24, 1536: 48}


@dataclass(frozen=True)
class Shot:
    """One file of a plate and what its name says.

    Args:
        path: The file.
        name: What its name says.
        folder: The plate's own folder.
        stain: Which stain it shows, or None for a channel that is not asked for.
    """

    path: str
    name: Name
    folder: str
    stain: int | None = None


def survey_folder(images: ImageSettings) -> Survey:
    """Lists the fields below a folder, and the files that are passed over."""
    found = Survey()
    layout = Layout(images.pattern)
    labels = Layout(images.labels, "images.labels") if images.labels else None
    shots, masks, instrument_files = _sorted_out(found, Path(images.path), layout, labels)
    shots = _one_folder_a_plate(_counted_from_1(_with_wells(found, shots), layout))
    instruments = _instruments(instrument_files, layout)
    shots = _with_stains(found, shots, images, instruments)
    plates = _plate_names(shots)
    time, planes = _choice(images, [shot for shot in shots if shot.stain is not None])
    fields = _Fields(images, time, planes)
    for shot in shots:
        fields.add((plates[_plate_key(shot)], shot.name.well, shot.name.field), shot)
    where = _Plates(shots, plates)
    mask_of = _match_masks(found, masks, where, fields)
    for field in fields:
        folder = where.folder[field.plate]
        size = instruments[folder].pixel_size if folder in instruments else ()
        place = (field.plate, field.well, field.site)
        found.fields.append(replace(field, labels=mask_of.get(place, ""), pixel_size=size))
    return found


# ---- what the files are --------------------------------------------------------------------------


def _sorted_out(
    found: Survey, root: Path, layout: Layout, labels: Layout | None
) -> tuple[list[Shot], list[Shot], list[str]]:
    """The images, the label images and the instrument's own files below a folder."""
    shots: list[Shot] = []
    masks: list[Shot] = []
    instrument_files: list[str] = []
    base = os.path.abspath(root)
    for path, reason in walk(root):
        inner = path.relative_to(root).as_posix()
        if reason:
            found.remark(f"passed over ({reason})", inner)
        elif labels and (shot := _shot(found, labels, base, path, inner)):
            masks.append(shot)
        elif shot := _shot(found, layout, base, path, inner):
            shots.append(shot)
        elif is_instrument_file(path.name):
            instrument_files.append(str(path))
        elif path.suffix.lower() in SUFFIXES:
            found.remark("images whose names do not fit the pattern", inner)
        else:
            found.remark("files that are no images", inner)
    return shots, masks, instrument_files


def _shot(found: Survey, layout: Layout, base: str, path: Path, inner: str) -> Shot | None:
    try:
        name = layout.read(inner)
    except ConfigError:
        found.remark("images whose names fit the pattern but tell no well", inner)
        return None
    if name is None:
        return None
    above = f"{base}/{name.above}" if name.above else base
    return Shot(str(path), name, layout.plate_folder(above))


def _with_wells(found: Survey, shots: Sequence[Shot]) -> list[Shot]:
    """Names the wells that are only numbered: row by row on the smallest plate that has so many."""
    largest = max((shot.name.index for shot in shots), default=0)
    columns = next((n for wells, n in PLATE_COLUMNS.items() if largest <= wells), 48)
    named = []
    for shot in shots:
        name = shot.name
        if name.index and WELL.fullmatch(name.prefix):
            name = replace(name, well=well_name(name.prefix))
        elif name.index:
            row, column = divmod(name.index - 1, columns)
            name = replace(name, well=well_name(row_letters(row), str(column + 1)))
            told = f"wells told by a number alone, counted row by row over {columns} columns"
            found.remark(f"images of {told}", shot.path)
        named.append(replace(shot, name=name))
    return named


def _counted_from_1(shots: Sequence[Shot], layout: Layout) -> list[Shot]:
    """Planes and time points from 1. ImageXpress calls its projection plane 0, or does not say."""
    if layout.name == "imagexpress":
        return [replace(s, name=replace(s.name, z=s.name.z or None)) for s in shots]
    for axis in ("z", "t"):
        if any(getattr(shot.name, axis) == 0 for shot in shots):
            shots = [
                replace(s, name=replace(s.name, **{axis: getattr(s.name, axis) + 1}))
                if getattr(s.name, axis) is not None
                else s
                for s in shots
            ]
    return list(shots)


# ---- plates --------------------------------------------------------------------------------------


def _one_folder_a_plate(shots: Sequence[Shot]) -> list[Shot]:
    """Where each folder holds a stain of the same wells, the plate is the folder above them."""
    channels: dict[str, set[str]] = defaultdict(set)
    wells: dict[str, set[str]] = defaultdict(set)
    for shot in shots:
        channels[shot.folder].add(shot.name.channel)
        wells[shot.folder].add(shot.name.well)
    siblings: dict[str, list[str]] = defaultdict(list)
    for folder in channels:
        siblings[os.path.dirname(folder)].append(folder)
    above = {}
    for parent, folders in siblings.items():
        apart = sum(len(channels[folder]) for folder in folders)
        together = len(set().union(*(channels[folder] for folder in folders)))
        shared = set.intersection(*(wells[folder] for folder in folders))
        if len(folders) > 1 and apart == together and shared:
            above.update(dict.fromkeys(folders, parent))
    return [replace(shot, folder=above.get(shot.folder, shot.folder)) for shot in shots]


def _plate_key(shot: Shot) -> tuple[str, str]:
    return ("", shot.name.plate) if shot.name.plate else (shot.folder, shot.name.prefix)


def _plate_names(shots: Sequence[Shot]) -> dict[tuple[str, str], str]:
    """Names each plate by its folder, by what its files begin with where a folder holds several."""
    keys = sorted({_plate_key(shot) for shot in shots})
    folders = sorted({folder for folder, _ in keys if folder})
    named = _different_names(folders)
    several = {folder for folder in folders if len([k for k in keys if k[0] == folder]) > 1}
    scanr = {_plate_key(shot) for shot in shots if shot.name.index}
    return {
        (folder, own): own if not folder or (folder in several and (folder, own) not in scanr)
        else named[folder]
        for folder, own in keys
    }  # fmt: skip


def _different_names(folders: Sequence[str]) -> dict[str, str]:
    """The shortest names that tell folders apart: without Harmony's date, or with one above."""
    for name in (
        lambda folder: plate_name(os.path.basename(folder)),
        os.path.basename,
        lambda folder: "/".join(folder.split("/")[-2:]),
    ):
        named = {folder: name(folder) for folder in folders}
        if len(set(named.values())) == len(folders):
            return named
    return {folder: folder for folder in folders}


class _Plates:
    """Which plate a folder, or a name, is."""

    def __init__(self, shots: Sequence[Shot], names: Mapping[tuple[str, str], str]) -> None:
        self.folder: dict[str, str] = {}
        self.within: dict[str, set[str]] = defaultdict(set)
        self.called: dict[str, str] = {}
        for shot in shots:
            plate = names[_plate_key(shot)]
            self.folder.setdefault(plate, shot.folder)
            self.within[shot.folder].add(plate)
            self.called[os.path.basename(shot.folder)] = plate
        self.called.update({plate: plate for plate in self.folder})

    def of(self, mask: Shot) -> str | None:
        """The plate of a label image: the one it names, else the one whose folder it lies in."""
        if mask.name.plate:
            return self.called.get(mask.name.plate)
        folder = os.path.dirname(os.path.abspath(mask.path))
        while folder not in self.within and folder != os.path.dirname(folder):
            folder = os.path.dirname(folder)
        plates = self.within.get(folder, set())
        return next(iter(plates)) if len(plates) == 1 else None


def _match_masks(
    found: Survey, masks: Sequence[Shot], where: _Plates, fields: _Fields
) -> dict[Place, str]:
    matched: dict[Place, str] = {}
    for mask in masks:
        place = (where.of(mask) or "", mask.name.well, mask.name.field)
        if place not in fields.shots:
            near = next((p for p in fields.shots if p[1] == mask.name.well), None)
            hint = f" ({mask.name.well} field {mask.name.field}"
            hint += f"; an image is {near[0]} {near[1]} field {near[2]})" if near else ")"
            found.remark("label images that match no image", mask.path + hint, missing=True)
        elif matched.get(place, mask.path) != mask.path:
            raise ConfigError(f"two label images for {place}: {matched[place]} and {mask.path}")
        else:
            matched[place] = mask.path
    return matched


# ---- stains, planes and time points --------------------------------------------------------------


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
) -> list[Shot]:
    """Finds the stain that each file shows, by the file's own or the instrument's channel name."""
    known = []
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
        if fits:
            known.append(replace(shot, stain=fits[0]))
        else:
            inner = os.path.relpath(shot.path, images.path)
            found.remark("images of channels that are not asked for", inner)
    return known


def _same_number(one: str, other: str) -> bool:
    return one.isdecimal() and other.isdecimal() and int(one) == int(other)


@dataclass(frozen=True)
class _Planes:
    """Which files along z make an image.

    Args:
        told: Whether file names tell planes apart.
        z: The plane, ``"max"``, ``"mean"`` or ``"projection"``, the microscope's own.
    """

    told: bool
    z: Plane


def _choice(images: ImageSettings, shots: Sequence[Shot]) -> tuple[int | None, _Planes]:
    """The time point, if names tell any, and the planes that are asked for.

    Raises:
        ConfigError: There are several and none was chosen, or one that is not there.
    """
    times = sorted({shot.name.t for shot in shots if shot.name.t is not None})
    planes = sorted({shot.name.z for shot in shots if shot.name.z is not None})
    own = bool(planes) and any(shot.name.z is None for shot in shots)
    try:
        time = chosen_time(times, images.t) if times else None
        if not planes or (own and images.z == "projection"):
            return time, _Planes(bool(planes), images.z)
        if own and images.z is None:
            raise ImageError(
                f"planes along z: {', '.join(map(str, planes))}, and the microscope's own "
                "projection. Say which by z: a number, 'max', 'mean' or 'projection'"
            )
        chosen = chosen_planes(planes, images.z)
    except ImageError as error:
        raise ConfigError(f"images: {error}") from error
    return time, _Planes(True, images.z if images.z in PROJECTIONS else chosen[0])


class _Fields:
    """Collects the files of each field and puts them in the network's order."""

    def __init__(self, images: ImageSettings, time: int | None, planes: _Planes) -> None:
        self.images, self.time, self.planes = images, time, planes
        self.shots: dict[Place, dict[int, dict[int | None, str]]] = {}
        self.there: dict[tuple[str, int], set[int]] = defaultdict(set)

    def add(self, place: Place, shot: Shot) -> None:
        """Adds a file.

        Raises:
            ConfigError: Another file is the same plane.
        """
        stains = self.shots.setdefault(place, {})
        assert shot.stain is not None
        planes = stains.setdefault(shot.stain, {})
        if shot.name.t != self.time:
            return
        z = shot.name.z
        known = planes.setdefault(z, shot.path)
        if os.path.realpath(known) != os.path.realpath(shot.path):
            channel = shot.name.channel
            raise ConfigError(
                f"two files are channel {channel!r} of {place}: {known} and {shot.path}"
            )
        if z is not None:
            self.there[place[0], shot.stain].add(z)

    def __iter__(self) -> Iterator[Field]:
        """The fields, without their label images."""
        projected = self.planes.told and self.planes.z in PROJECTIONS
        for place, stains in self.shots.items():
            together = -1 in stains
            wanted = [-1] if together else list(range(len(self.images.stains)))
            files, lacking = [], []
            for stain in wanted:
                some, missing = self._files(place[0], stain, stains.get(stain, {}))
                files.append(some)
                name = "all stains" if together else self.images.stains[stain]
                lacking += [name + missing] if missing is not None else []
            yield Field(
                *place,
                files=tuple(files),
                together=together,
                z=self.planes.z if projected or not self.planes.told else None,
                t=self.images.t if self.time is None else None,
                plane=str(self.planes.z or 1),
                time=str(self.time or self.images.t or 1),
                problem=f"no file for stain {', '.join(lacking)}" if lacking else "",
            )

    def _files(
        self, plate: str, stain: int, planes: Mapping[int | None, str]
    ) -> tuple[tuple[str, ...], str | None]:
        """The files of a stain, and what is missing: None, or where."""
        numbers: list[int | None]
        if not self.planes.told or self.planes.z == "projection":
            numbers = [None]
        elif self.planes.z in PROJECTIONS:
            numbers = [*sorted(self.there[plate, stain])] or [1]
        else:
            numbers = [int(self.planes.z or 1)]
        missing = [number for number in numbers if number not in planes]
        if not missing:
            return tuple(planes[number] for number in numbers), None
        where = [str(number) for number in missing if number is not None]
        at = f" at plane {', '.join(where)}" if where and self.planes.told else ""
        at += f" at time point {self.time}" if self.time is not None and self.images.t else ""
        return (), at
