"""Wells and fields of view, found in folders of files or listed in a load file."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captum_pcim.screen.config import ConfigError, ImageSettings

PATTERNS = {
    "plain": r"(?:(?P<plate>[^/]+)/)?(?P<well>[A-Za-z]{1,2}\d{1,2})_f?(?P<field>\d+)"
    r"_(?P<channel>[^/_.]+)\.(?:png|tiff?)",
    "opera": r"r(?P<row>\d+)c(?P<col>\d+)f(?P<field>\d+)p\d+-ch(?P<channel>\d+)"
    r"sk\d+fk\d+fl\d+\.tiff?",
    "imagexpress": r"(?P<plate>[^/]+)_(?P<well>[A-Z]{1,2}\d{2})_s(?P<field>\d+)"
    r"_w(?P<channel>\d)(?!_thumb)[^/_]*\.tiff?",
    "cellvoyager": r"(?P<plate>[^/]+)_(?P<well>[A-Z]{1,2}\d{2})_T\d{4}F(?P<field>\d{3})"
    r"L\d{2}A\d{2}Z\d{2}C(?P<channel>\d{2})\.tiff?",
    "incell": r"(?P<row>[A-Z]{1,2}) - (?P<col>\d{1,2})\(fld (?P<field>\d+) "
    r"wv (?P<channel>[^)]+)\)\.tiff?",
}
"""Patterns of file names: this package's own plain one and common vendors' (Opera/Operetta,
ImageXpress, CellVoyager, IN Cell). They are matched at the end of a path; the plate, where the
name does not tell it, is the folder."""

WELL = re.compile(r"([A-Za-z]{1,2})[ -]*0*(\d{1,2})")


@dataclass(frozen=True, order=True)
class Field:
    """One field of view: where it lies on which plate, and which files show it.

    Args:
        plate: Name of the plate.
        well: ``A01`` to ``AF48``.
        site: Name of the field within the well.
        planes: One file per stain in the network's order, one file for all stains, or one
            OME-Zarr image folder. A missing file is an empty name.
        labels: The label image, or an empty name.
    """

    plate: str
    well: str
    site: str
    planes: tuple[str, ...]
    labels: str = ""


def well_name(text: str, column: str = "") -> str:
    """Writes a well as letters and two digits: ``b2``, ``B 02`` and ``("2", "2")`` are ``B02``."""
    row = row_letters(int(text) - 1) if text.isdigit() else text
    match = WELL.fullmatch(f"{row}{column}")
    if match is None:
        raise ConfigError(f"expected a well such as B02, got {text + column!r}")
    return f"{match[1].upper()}{int(match[2]):02d}"


def row_letters(index: int) -> str:
    """Names the rows of a plate: 0 is ``A``, 15 is ``P``, 26 is ``AA``."""
    return chr(65 + index) if index < 26 else chr(64 + index // 26) + chr(65 + index % 26)


def row_and_column(well: str) -> tuple[int, int]:
    """Where a well lies, counted from zero: ``A01`` is (0, 0), ``P24`` is (15, 23)."""
    letters, digits = well.rstrip("0123456789"), well.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    row = 0
    for letter in letters:
        row = row * 26 + ord(letter) - 64
    return row - 1, int(digits) - 1


# ---- folders -------------------------------------------------------------------------------------


def folder_fields(images: ImageSettings) -> Iterator[Field]:
    """Lists the fields whose files lie in a folder."""
    root = Path(images.path)
    planes: dict[tuple[str, str, str], dict[str, str]] = {}
    labels: dict[tuple[str, str, str], str] = {}
    pattern = _compiled(PATTERNS.get(images.pattern, images.pattern), "images.pattern")
    label_pattern = _compiled(images.labels, "images.labels") if images.labels else None
    for path in _files(root):
        named = _named(label_pattern, root, path) if label_pattern else None
        if named:
            labels[named[0]] = path
            continue
        named = _named(pattern, root, path)
        if named is None:
            continue
        place, channel = named
        known = planes.setdefault(place, {})
        if channel in known:
            raise ConfigError(
                f"two files are channel {channel!r} of {place}: {known[channel]} and {path}"
            )
        known[channel] = path
    for place, channels in planes.items():
        files = (
            (channels[""],)
            if "" in channels
            else tuple(channels.get(name, "") for name in images.channels)
        )
        if any(files):
            yield Field(*place, files, labels.get(place, ""))


def _compiled(pattern: str, entry: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(rf"(?:.*/)?{pattern}$")
    except re.error as error:
        raise ConfigError(f"{entry}: {pattern!r} is no regular expression: {error}") from error
    groups = set(compiled.groupindex)
    if "field" not in groups or not ("well" in groups or {"row", "col"} <= groups):
        raise ConfigError(
            f"{entry}: expected the groups field and well (or row and col), "
            f"got {sorted(groups)}; ready-made patterns: {sorted(PATTERNS)}"
        )
    return compiled


def _files(root: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            yield os.path.join(folder, name)


def _named(
    pattern: re.Pattern[str], root: Path, path: str
) -> tuple[tuple[str, str, str], str] | None:
    inner = os.path.relpath(path, root).replace(os.sep, "/")
    match = pattern.match(inner)
    if match is None:
        return None
    groups = match.groupdict()
    well = (
        well_name(groups["well"]) if groups.get("well") else well_name(groups["row"], groups["col"])
    )
    # Without a plate in the name the folder under the root is the plate, or the root itself.
    plate = groups.get("plate") or (inner.split("/")[0] if "/" in inner else root.name)
    return (plate, well, groups["field"]), groups.get("channel") or ""


# ---- load files ----------------------------------------------------------------------------------


def load_file_fields(images: ImageSettings) -> Iterator[Field]:
    """Lists the fields that a load file names."""
    folder = os.path.dirname(images.path)
    for number, row in enumerate(_rows(images.path), start=2):
        where = f"{images.path}, line {number}"
        place = [_cell(row, f"Metadata_{name}", where) for name in ("Plate", "Well", "Site")]
        planes = tuple(_file(row, "", name, folder) for name in images.channels)
        if not any(planes):
            raise ConfigError(f"{where}: expected columns such as FileName_{images.channels[0]}")
        labels = _file(row, "Objects", images.labels, folder) if images.labels else ""
        yield Field(place[0], well_name(place[1]), place[2], planes, labels)


def _rows(path: str) -> Iterator[dict[str, Any]]:
    if path.endswith((".parquet", ".pq")):
        try:
            import pyarrow.parquet
        except ImportError as error:
            raise ImportError(
                "reading Parquet load files needs pyarrow: pip install 'captum-pcim[table]'"
            ) from error
        try:
            for batch in pyarrow.parquet.ParquetFile(path).iter_batches():
                yield from batch.to_pylist()
        except pyarrow.ArrowException as error:
            raise ConfigError(f"images.path: {path} is no Parquet file: {error}") from error
        return
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            yield from csv.DictReader(file)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"images.path: {path} is no CSV file: {error}") from error


def _cell(row: dict[str, Any], column: str, where: str) -> str:
    value = row.get(column)
    if value in (None, ""):
        raise ConfigError(
            f"{where}: expected a value in column {column}, got none; the columns are {list(row)}"
        )
    return str(value)


def _file(row: dict[str, Any], kind: str, name: str, folder: str) -> str:
    """The file a row names, in CellProfiler's columns, with or without the ``Image_`` prefix."""
    for prefix in ("", "Image_"):
        file_name = row.get(f"{prefix}{kind}FileName_{name}")
        if file_name:
            path_name = row.get(f"{prefix}{kind}PathName_{name}") or ""
            return os.path.join(folder, path_name, file_name)
        url = row.get(f"{prefix}{kind}URL_{name}")
        if url:
            return os.path.join(folder, str(url).removeprefix("file://").removeprefix("file:"))
    return ""
