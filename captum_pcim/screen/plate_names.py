"""Which plate a file belongs to where its name does not say, and what the plate is called."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from captum_pcim.images.wells import find_well
from captum_pcim.screen.config import ConfigError
from captum_pcim.screen.layouts import Shot, plate_name
from captum_pcim.screen.plate import Place, Survey

FIELD = re.compile(r"(?i)(?:f|fld|field|s|site|p|pos|position)?[ _-]*0*(\d+)")


def outside_wells(found: Survey, shots: Sequence[Shot]) -> list[Shot]:
    """Where wells, or the fields of wells, have folders of their own, the plate is above them."""
    wells, fields = _held(shots, "well"), _held(shots, "field")
    of_fields = {
        folder: os.path.dirname(folder)
        for folder, there in fields.items()
        if {_number(field) for field in there} == {_number(os.path.basename(folder))}
        and wells[folder] == {_well(os.path.basename(os.path.dirname(folder)))}
    }
    inner = [replace(shot, folder=of_fields.get(shot.folder, shot.folder)) for shot in shots]
    of_wells = {
        folder: os.path.dirname(folder)
        for folder, there in _held(inner, "well").items()
        if there == {_well(os.path.basename(folder))}
    }
    for plate in sorted(set(of_wells.values())):
        found.remark("plates put together of folders that hold a well each", plate)
    return [
        replace(shot, folder=of_wells.get(one.folder, shot.folder))
        for shot, one in zip(shots, inner, strict=True)
    ]


def _held(shots: Sequence[Shot], part: str) -> dict[str, set[str]]:
    """The wells, or the fields, of the files in each folder."""
    held: dict[str, set[str]] = defaultdict(set)
    for shot in shots:
        held[shot.folder].add(getattr(shot.name, part))
    return held


def _well(folder: str) -> str:
    return find_well(re.sub(r"(?i)^well[ _-]*", "", folder))


def _number(text: str) -> str:
    match = FIELD.fullmatch(text)
    return match[1] if match else ""


def one_folder_a_plate(found: Survey, shots: Sequence[Shot]) -> list[Shot]:
    """Where folders side by side hold other stains of the same wells, the plate is above them."""
    stains: dict[str, set[int | None]] = defaultdict(set)
    wells: dict[str, set[str]] = defaultdict(set)
    siblings: dict[str, set[str]] = defaultdict(set)
    for shot in shots:
        stains[shot.folder].add(shot.stain)
        wells[shot.folder].add(shot.name.well)
        siblings[os.path.dirname(shot.folder)].add(shot.folder)
    above: dict[str, str] = {}
    for parent, folders in siblings.items():
        apart = sum(len(stains[folder]) for folder in folders)
        together = len(set().union(*(stains[folder] for folder in folders)))
        shared = set.intersection(*(wells[folder] for folder in folders))
        if len(folders) > 1 and apart == together and shared:
            above.update(dict.fromkeys(folders, parent))
            found.remark("plates put together of folders that hold a stain each", parent)
    return [replace(shot, folder=above.get(shot.folder, shot.folder)) for shot in shots]


def plate_key(shot: Shot) -> tuple[str, str]:
    """What tells a plate: the name that files give, or a folder and what its files begin with."""
    return ("", shot.name.plate) if shot.name.plate else (shot.folder, shot.name.prefix)


def name_plates(shots: Sequence[Shot]) -> dict[tuple[str, str], str]:
    """Names each plate by its folder, or by what its files begin with where that holds several."""
    keys = sorted({plate_key(shot) for shot in shots})
    folders = sorted({folder for folder, _ in keys if folder})
    named = different_names(folders, lambda folder: plate_name(os.path.basename(folder)))
    held = Counter(folder for folder, _ in keys)
    return {
        (folder, own): named[folder] if held[folder] == 1 and folder else own
        for folder, own in keys
    }


def different_names(folders: Sequence[str], shortest: Callable[[str], str]) -> dict[str, str]:
    """The shortest names that tell folders apart.

    Args:
        folders: The folders.
        shortest: A folder's own name. Where that is another's, too, they are called by the names of
            the folders, or by these and those above.
    """
    for name in (
        shortest,
        os.path.basename,
        lambda folder: "/".join(folder.split("/")[-2:]),
    ):
        named = {folder: name(folder) for folder in folders}
        if len(set(named.values())) == len(folders):
            return named
    return {folder: folder for folder in folders}


class KnownPlates:
    """Which plate a file, a folder or a name is."""

    def __init__(self, shots: Sequence[Shot], names: Mapping[tuple[str, str], str]) -> None:
        self.names = names
        self.folder: dict[str, str] = {}
        self.within: dict[str, set[str]] = defaultdict(set)
        self.called: dict[str, set[str]] = defaultdict(set)
        for shot in shots:
            plate = self.named(shot)
            self.folder.setdefault(plate, shot.folder)
            self.within[shot.folder].add(plate)
            self.called[os.path.basename(shot.folder)].add(plate)
        self.called.update({plate: {plate} for plate in self.folder})

    def named(self, shot: Shot) -> str:
        """The plate of an image."""
        return self.names[plate_key(shot)]

    def of(self, mask: Shot) -> str | None:
        """The plate of a label image: the one it names, else the one whose folder it lies in.

        A name that several plates' folders have is that of the plate whose folder it lies in.
        """
        plates = self.around(os.path.dirname(os.path.abspath(mask.path)))
        if mask.name.plate:
            called = self.called.get(mask.name.plate, set())
            plates = called & plates or called
        return next(iter(plates)) if len(plates) == 1 else None

    def around(self, folder: str) -> set[str]:
        """The plates of a folder, or of the nearest one above it that has any."""
        while folder not in self.within and folder != os.path.dirname(folder):
            folder = os.path.dirname(folder)
        return self.within.get(folder, set())


def places_without_stains(
    found: Survey,
    others: Sequence[Shot],
    shots: Sequence[Shot],
    where: KnownPlates,
    wanted: Sequence[str],
) -> list[Place]:
    """Finds the fields of which files show other channels only, and remarks plates of such fields.

    One channel alone that no image shows is passed over: it is a mask or an overview, or a stain in
    a folder of its own. So is a folder of other channels inside a plate's.

    Args:
        found: Takes the remarks.
        others: The files of channels that are not asked for.
        shots: The files of those that are.
        where: The plates.
        wanted: The channels that are asked for.
    """
    known = {name.casefold() for name in (*wanted, *(shot.name.channel for shot in shots))}
    there = {(plate_key(shot), shot.name.well, shot.name.field) for shot in shots}
    lacking: dict[tuple[tuple[str, str], str, str], dict[str, None]] = defaultdict(dict)
    for shot in others:
        key, well, field = plate_key(shot), shot.name.well, shot.name.field
        if (key, well, field) not in there:
            group = (key, well, field) if key in where.names else (key, "", "")
            lacking[group][shot.name.channel] = None
    places = []
    for (key, well, field), channels in lacking.items():
        shared = not known.isdisjoint(channel.casefold() for channel in channels)
        several = len(channels) > 1
        if key in where.names and (shared or several):
            places.append((where.names[key], well, field))
        elif shared or (several and not where.around(os.path.dirname(key[0]))):
            example = f"{'/'.join(filter(None, key))} (channels {', '.join(channels)})"
            what = "plates without an image of a stain that is asked for"
            found.remark(what, example, missing=True)
    return places


def match_masks(
    found: Survey, masks: Sequence[Shot], where: KnownPlates, places: Collection[Place]
) -> dict[Place, str]:
    """Finds the label image of each field, and remarks those that match none.

    Raises:
        ConfigError: Two match one field.
    """
    matched: dict[Place, str] = {}
    for mask in masks:
        place = (where.of(mask) or "", mask.name.well, mask.name.field)
        if place not in places:
            near = next((p for p in places if p[1] == mask.name.well), None)
            hint = f" ({mask.name.well} field {mask.name.field}"
            hint += f"; an image is {near[0]} {near[1]} field {near[2]})" if near else ")"
            found.remark("label images that match no image", mask.path + hint, missing=True)
        elif matched.get(place, mask.path) != mask.path:
            raise ConfigError(
                f"two label images for {' '.join(place[:2])} field {place[2]}: {matched[place]} "
                f"and {mask.path}; a group z or t in images.labels tells planes and times apart"
            )
        else:
            matched[place] = mask.path
    return matched
