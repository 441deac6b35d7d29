"""Wells on a plate: their names, the sizes of plates, and where a well lies by its name."""

from __future__ import annotations

import re

PLATE_FORMATS = ((8, 12), (16, 24), (32, 48))  # rows and columns of 96, 384 and 1536 wells
LARGEST = (48, 72)  # of 3456, the largest that are made
_WELL = re.compile(r"([A-Za-z]{1,2})[ -]*0*([1-9]\d?)")  # columns count from 1


def find_well(text: str, column: str = "") -> str:
    """Writes a well as letters and two digits: ``b2``, ``B 02`` and ``("2", "2")`` are ``B02``.

    Returns:
        Its name, empty where there is no such well.
    """
    row = row_letters(int(text) - 1) if text.isdecimal() and int(text) <= LARGEST[0] else text
    match = _WELL.fullmatch(f"{row}{column}")
    name = f"{match[1].upper()}{int(match[2]):02d}" if match else ""
    inside = name and all(at < n for at, n in zip(row_and_column(name), LARGEST, strict=True))
    return name if inside else ""


def well_name(text: str, column: str = "") -> str:
    """The same, of what has to be a well.

    Raises:
        ValueError: If it is none.
    """
    name = find_well(text, column)
    if not name:
        raise ValueError(f"expected a well such as B02, at most AV72, got {text + column!r}")
    return name


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
