"""What a result is a result of: keys that change whenever anything behind a result changes."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from captum_pcim._version import __version__
from captum_pcim.classifiers.files import fingerprint
from captum_pcim.images.intensities import evenly
from captum_pcim.images.stack import ImageError
from captum_pcim.images.wells import well_name
from captum_pcim.images.windows import WindowTable
from captum_pcim.screen.config import ConfigError, ModelSettings, ScreenConfig
from captum_pcim.screen.plate import Field


@dataclass(frozen=True)
class Key:
    """One image of the work list.

    Args:
        sha: SHA-256 (hex) of the image's identity and content stamp, its plate's windows and
            controls, the weights, the configuration and the package's version.
        number: CellProfiler's ImageNumber: the image's row in the load file, else its position in
            the whole screen, from 1.
        field: The image.
    """

    sha: str
    number: int
    field: Field

    @property
    def seed(self) -> int:
        """The image's own seed: the same for every engine, order and number of workers."""
        return int(self.sha[:12], 16)


@dataclass(frozen=True)
class PlateFields:
    """The fields that decide how all images of a plate are read.

    Args:
        sha: Changes when any of these fields does.
        windows: Fields that percentiles, means and deviations are measured on.
        controls: Negative-control fields.
    """

    sha: str
    windows: tuple[Field, ...]
    controls: tuple[Field, ...]


@dataclass(frozen=True)
class ScreenPlan:
    """What there is to do: keys in the screen's order, and each plate's deciding fields."""

    keys: tuple[Key, ...]
    plates: dict[str, PlateFields]


def make_plan(config: ScreenConfig, fields: Sequence[Field], shard: tuple[int, int]) -> ScreenPlan:
    """Gives the fields of one shard their keys.

    Args:
        config: The screen.
        fields: All its fields, in order.
        shard: ``(i, n)`` takes the fields i, i + n, i + 2 n, ... of all; ``(0, 1)`` takes all.
    """
    by_plate: dict[str, list[Field]] = {}
    for field in fields:
        by_plate.setdefault(field.plate, []).append(field)
    mine = [
        (field.number or i + 1, field) for i, field in enumerate(fields) if i % shard[1] == shard[0]
    ]
    names = {field.plate for _, field in mine}
    plates = {name: plate_fields(config, by_plate[name]) for name in sorted(names)}
    read_as = (str(config.images.acquisition), str(config.images.illumination))
    behind = _sha(config.digest(), network_digest(config.model), __version__, *read_as)
    keys = (
        Key(_sha(behind, plates[field.plate].sha, *stamp(field)), number, field)
        for number, field in mine
    )
    return ScreenPlan(tuple(keys), plates)


def stamp(field: Field) -> tuple[str, ...]:
    """Identity and content stamp of an image: names, sizes and modification times of its files.

    A plane and a time point that are taken within a file count beside those that tables tell, which
    a load file may number in a way of its own.

    Content is not read: a screen's terabytes would be read twice. Folders do not count, so moved
    or copied files (with their times, as ``rsync -t`` does) keep their results.
    """
    files = [path for stain in field.files for path in stain or ("",)]
    files += [*field.illumination, field.labels]
    place = (field.plate, field.well, field.site, field.plane, field.time)
    taken = [f"{a}={n}" for a, n in (("z", field.z), ("t", field.t)) if n is not None]
    return (*place, *taken, *(_file_stamp(path) for path in files))


def network_digest(model: ModelSettings) -> str:
    """SHA-256 of the network: its file or weights, and the source file of its factory."""
    named = (model.factory, model.path) if model.factory else (model.path,)
    parts = [fingerprint(*(name or None for name in named))]  # type: ignore[arg-type]
    if model.factory:
        if os.getcwd() not in sys.path:  # where load_model looks, too
            sys.path.insert(0, os.getcwd())
        source = importlib.util.find_spec(model.factory.partition(":")[0])
        if source is not None and source.origin and os.path.isfile(source.origin):
            parts.append(hashlib.sha256(Path(source.origin).read_bytes()).hexdigest())
    return _sha(*parts)


def plate_fields(config: ScreenConfig, fields: Sequence[Field]) -> PlateFields:
    """The fields of a plate that decide how all its images are read."""
    wells = {well_name(well) for well in config.controls.wells}
    of_controls = [field for field in fields if field.well in wells]
    windows: tuple[Field, ...] = ()
    if config.windows.measured(config.images.stains):
        over_controls = config.windows.over == "controls"
        windows = evenly(of_controls if over_controls else fields, config.windows.fields)
    blended = config.controls.reference != "none"
    controls = evenly(of_controls, config.controls.fields) if blended else ()
    stamps = [part for field in (*windows, *controls) for part in stamp(field)]
    given = _given_windows(config, fields[0].plate) if fields else ""
    return PlateFields(_sha(config.digest(), given, *stamps), windows, controls)


def _given_windows(config: ScreenConfig, plate: str) -> str:
    """The windows that a table gives for a plate: only if these change, its images do."""
    if not config.windows.table:
        return ""
    try:
        table = WindowTable(config.windows.table)
    except (ImageError, OSError) as error:
        raise ConfigError(f"windows.table: {error}") from error
    try:
        return repr(table.of(plate, config.images.stains))
    except ImageError as error:
        return str(error)


def _file_stamp(path: str) -> str:
    if not path:
        return "none"
    if os.path.isdir(path):
        from captum_pcim.screen.zarr_plate import array_files

        inner = (os.path.relpath(file, path) + _size_and_time(file) for file in array_files(path))
        return _sha(*inner)
    return os.path.basename(path) + _size_and_time(path)


def _size_and_time(path: str) -> str:
    try:
        found = os.stat(path)
    except OSError as error:
        return f" {type(error).__name__}"
    return f" {found.st_size} {found.st_mtime_ns}"


def _sha(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
