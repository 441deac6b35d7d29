"""Wells on a plate: the sizes of plates, and where a well lies by its name."""

from __future__ import annotations

PLATE_FORMATS = ((8, 12), (16, 24), (32, 48))  # rows and columns of 96, 384 and 1536 wells
LARGEST = (48, 72)  # of 3456, the largest that are made


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
