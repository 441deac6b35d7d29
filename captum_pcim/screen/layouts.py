"""How microscopes name their files: the well, field, channel, plane and time point of an image."""

from __future__ import annotations

import re
from dataclasses import dataclass

from captum_pcim.images.wells import find_well
from captum_pcim.screen.config import ConfigError
from captum_pcim.screen.toml import check

GUID = r"(?:[0-9A-F]{8}-[0-9A-F-]*)?"

PATTERNS = {
    "plain": r"(?P<well>[A-Z]{1,2}\d{1,3})(?:_[fs]?(?P<field>\d+))?(?:_t(?P<t>\d+))?"
    r"(?:_z(?P<z>\d+))?_(?P<channel>[^/_.]+)\.(?:png|tiff?)",
    "opera": r"r(?P<row>\d+)c(?P<col>\d+)f(?P<field>\d+)p(?P<z>\d+)-ch(?P<channel>\d+)"
    r"sk(?P<t>\d+)fk\d+fl\d+\.tiff?",
    "imagexpress": r"(?:TimePoint_(?P<t>\d+)/)?(?:ZStep_(?P<z>\d+)/)?(?P<prefix>[^/]+?)"
    rf"_(?P<well>[A-Z]{{1,2}}\d{{2}})(?:_s(?P<field>\d+?))?(?:_w(?P<channel>\d+?))?{GUID}\.tiff?",
    "cellvoyager": r"(?P<prefix>[^/]+)_(?P<well>[A-Z]{1,2}\d{2})_T(?P<t>\d{4})F(?P<field>\d{3})"
    r"L\d{2}A\d{2}Z(?P<z>\d{2})C(?P<channel>\d{2})\.tiff?",
    "incell": r"(?P<row>[A-Z]{1,2}) - (?P<col>\d{1,2})\(fld (?P<field>\d+)"
    r"(?: wv (?P<channel>[^)]+?))?(?: z (?P<z>\d+))?(?: time (?P<t>\d+)[^)]*)?\)\.tiff?",
    "scanr": r"(?P<prefix>[^/]*)--W(?P<index>\d+)--P(?P<field>\d+)--Z(?P<z>\d+)--T(?P<t>\d+)"
    r"--(?P<channel>[^/]+)\.tiff?",
    "columbus": r"(?P<row>\d{3})(?P<col>\d{3})-(?P<field>\d+)-(?P<t>\d{3})(?P<z>\d{3})"
    r"(?P<channel>\d{3})\.tiff?",
    "cytation": r"(?P<well>[A-Z]{1,2}\d{1,2})_\d+_\d+_(?P<field>\d+)_(?P<channel>[^/_]+)"
    r"_(?P<t>\d{3})\.tiff?",
    "squid": r"(?:(?P<t>\d+)/)?(?P<well>[A-Z]{1,2}\d{1,2})_(?P<field>\d+)_(?P<z>\d+)"
    r"_(?P<channel>[^/.\d][^/.]*)\.tiff?",
    "leica": r"image--L\d+--S\d+--U(?P<col0>\d+)--V(?P<row0>\d+)--J\d+--E\d+--O\d+"
    r"--(?P<field>X\d+--Y\d+)--T(?P<t>\d+)--Z(?P<z>\d+)--C(?P<channel>\d+)(?:\.ome)?\.tiff?",
    "cellomics": r"(?P<plate>[^/]+)_(?P<well>[A-Z]{1,2}\d{2})f(?P<field>\d+)d(?P<channel>\d+)"
    r"\.tiff?",
}
"""Patterns of file names: this package's own plain one and common vendors' (Opera and Operetta,
ImageXpress, CellVoyager, IN Cell, ScanR, Columbus, Cytation, Squid, Leica's
Matrix Screener, Cellomics). They are matched at the end of a path, in any case of letters."""

NUMBERS = ("index", "z", "t", "row0", "col0")
GROUPS = ("plate", "prefix", "well", "row", "col", "field", "channel", *NUMBERS)

# Folders between a plate's own and its images: Harmony, ImageXpress (day/number), Leica, ScanR.
FOLDERS = (
    r"/(?:images?|tiffs?)|/\d{4}-\d\d-\d\d/\d+|/timepoint_\d+|/zstep_\d+"
    r"|/slide--s\d+|/chamber--u\d+--v\d+|/field--x\d+--y\d+"
)
INSIDE = re.compile(rf"(?i)(?:{FOLDERS})$")
INSIDE_SCANR = re.compile(rf"(?i)(?:{FOLDERS}|/data)$")
MEASUREMENT = re.compile(r"(?i)(.+?)__\d{4}-\d\d-\d\dT[\d_]+-Measurement ?\d+[a-z]?")


@dataclass(frozen=True)
class Name:
    """What the name of a file says.

    Args:
        above: The folders above what was matched, relative to the root, without a last slash.
        plate: The plate, if the name tells it.
        prefix: What a vendor puts before the well, often the name of the experiment.
        well: The well.
        field: The field.
        channel: The channel, or an empty name where one file holds all stains.
        z: The plane as it is numbered in the name, or None.
        t: The time point, likewise.
        index: ScanR's number of the well, or 0.
    """

    above: str
    plate: str
    prefix: str
    well: str
    field: str
    channel: str
    z: int | None
    t: int | None
    index: int


@dataclass(frozen=True)
class Shot:
    """One file of a plate and what its name says.

    Args:
        path: The file.
        name: What its name says.
        folder: The plate's own folder.
        stain: Which stain it shows, -1 where it holds all of them, None until that is known.
    """

    path: str
    name: Name
    folder: str
    stain: int | None = None


class Layout:
    """A pattern of file names, ready-made or a user's own.

    Args:
        pattern: A name in :data:`PATTERNS` or a regular expression with the groups ``well`` (or
            ``row`` and ``col``, or ``row0`` and ``col0``, which count from 0) and ``field``, and
            where there are any ``plate``, ``channel``,
            ``z`` and ``t``.
        entry: What the pattern is called in the configuration.

    Raises:
        ConfigError: It is no regular expression, or a group is missing or unknown.
    """

    def __init__(self, pattern: str, entry: str = "images.pattern") -> None:
        self.name = pattern
        flags = re.IGNORECASE if pattern in PATTERNS else 0
        try:
            # As few folders above as possible, so that folders of the pattern's own are matched.
            self.compiled = re.compile(rf"(?:[^/]*/)*?(?:{PATTERNS.get(pattern, pattern)})$", flags)
        except re.error as error:
            raise ConfigError(f"{entry}: {pattern!r} is no regular expression: {error}") from error
        groups = set(self.compiled.groupindex)
        unknown = sorted(groups - set(GROUPS))
        check(not unknown, entry, f"groups among {GROUPS}", unknown)
        pairs = {"row", "col"}, {"row0", "col0"}
        well = "well" in groups or "index" in groups or any(pair <= groups for pair in pairs)
        if "field" not in groups or not well:
            expected = "the groups field and well (or row and col), or a ready-made pattern among"
            check(False, entry, f"{expected} {sorted(PATTERNS)}", sorted(groups) or pattern)

    def read(self, path: str) -> Name | None:
        """Reads a path below the root, with forward slashes; None if it does not fit.

        Raises:
            ConfigError: It fits, but its well is none, or a number of its is none.
        """
        match = self.compiled.match(path)
        if match is None:
            return None
        groups = {name: text or "" for name, text in match.groupdict().items()}
        numbers = {name: _number(name, groups.get(name)) for name in NUMBERS}
        index = numbers["index"] or 0
        well, column = groups.get("well") or groups.get("row", ""), groups.get("col", "")
        if numbers["row0"] is not None and numbers["col0"] is not None:
            well, column = str(numbers["row0"] + 1), str(numbers["col0"] + 1)
        name = "" if index else find_well(well, column)
        if not (index or name):
            raise ConfigError("tell no well")
        first = min(match.start(name) for name, text in match.groupdict().items() if text)
        return Name(
            above=path[:first].rpartition("/")[0],
            plate=groups.get("plate", ""),
            prefix=groups.get("prefix", ""),
            well=name,
            field=groups["field"] or "1",
            channel=groups.get("channel", ""),
            z=numbers["z"],
            t=numbers["t"],
            index=index,
        )

    def plate_folder(self, above: str) -> str:
        """The folder that is a plate's own, of those above an image: not ``Images`` and the like.

        Args:
            above: An absolute path.
        """
        inside = INSIDE_SCANR if self.name == "scanr" else INSIDE
        while (shorter := inside.sub("", above)) != above and shorter:
            above = shorter
        return above


def plate_name(folder: str) -> str:
    """The plate's name in that of its folder: Harmony adds when the plate was measured."""
    match = MEASUREMENT.fullmatch(folder)
    return match[1] if match else folder


def _number(group: str, text: str | None) -> int | None:
    if text and not text.isdecimal():
        raise ConfigError(f"tell no number by the group {group}")
    return int(text) if text else None
