"""What a microscope's own files say of a plate: the channels' names and the size of a pixel.

Harmony's ``Index.idx.xml`` (Opera, Operetta), MetaXpress' ``.HTD`` (ImageXpress), and Yokogawa's
``MeasurementDetail.mrf`` and ``.mes`` beside its ``MeasurementData.mlf`` (CellVoyager).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MOST_IMAGES = 10_000  # of Index.idx.xml, which describes each image: by then all channels are told
MICROMETERS = 1e6
YOKOGAWA = "{http://www.yokogawa.co.jp/BTS/BTSSchema/1.0}"


@dataclass
class Instrument:
    """What is known of a plate.

    Args:
        channels: The channels' names by their numbers in file names, without leading zeros.
        pixel_size: Micrometers in y and x, or empty.
    """

    channels: dict[str, str] = field(default_factory=dict)
    pixel_size: tuple[float, ...] = ()


def is_instrument_file(name: str) -> bool:
    """Whether a file is one of those that are read here."""
    return name.lower() in ("index.idx.xml", "index.xml") or name.lower().endswith(
        (".htd", ".mrf", ".mes")
    )


def read_instrument(paths: Sequence[str]) -> Instrument:
    """Reads what the files of a plate say; a file that is damaged says nothing."""
    found = Instrument()
    for path in paths:
        name = path.lower()
        read = _read_htd if name.endswith(".htd") else _read_xml
        try:
            read(Path(path), found)
        except (OSError, ValueError, SyntaxError):  # ElementTree's ParseError is a SyntaxError
            continue
    return found


def _read_htd(path: Path, found: Instrument) -> None:
    text = path.read_text(encoding="latin-1")
    for number, name in re.findall(r'"WaveName(\d+)"\s*,\s*"([^"]*)"', text):
        found.channels.setdefault(number, name)


def _read_xml(path: Path, found: Instrument) -> None:
    with open(path, "rb") as file:
        if b"<!DOCTYPE" in file.read(4096):  # none of them has one; expanding entities is a risk
            return
        file.seek(0)
        for element in _elements(file):
            if element.tag.startswith(YOKOGAWA):
                _read_yokogawa(element, found)
            else:
                _read_harmony(element, found)


def _elements(file: Any) -> Iterator[Any]:
    from xml.etree import ElementTree

    images = 0
    for _, element in ElementTree.iterparse(file):
        tag = element.tag.rpartition("}")[2]
        if tag in ("Image", "Entry", "Channel", "MeasurementChannel"):
            yield element
            element.clear()
            images += tag == "Image"
        if images > MOST_IMAGES:
            return


def _read_harmony(element: Any, found: Instrument) -> None:
    number = element.get("ChannelID") or element.findtext("{*}ChannelID")
    name = element.findtext("{*}ChannelName")
    if number and name:
        found.channels.setdefault(number, name)
    sizes = [element.find(f"{{*}}ImageResolution{axis}") for axis in "YX"]
    if not found.pixel_size and all(s is not None and s.get("Unit") == "m" for s in sizes):
        found.pixel_size = tuple(float(size.text) * MICROMETERS for size in sizes)


def _read_yokogawa(element: Any, found: Instrument) -> None:
    number = str(element.get(f"{YOKOGAWA}Ch") or "")
    name = element.get(f"{YOKOGAWA}Fluorophore") or element.get(f"{YOKOGAWA}Acquisition")
    if number and name:
        found.channels.setdefault(number, name)
    sizes = [element.get(f"{YOKOGAWA}{axis}PixelDimension") for axis in ("Vertical", "Horizontal")]
    if not found.pixel_size and all(sizes):
        found.pixel_size = tuple(float(size) for size in sizes if size)
