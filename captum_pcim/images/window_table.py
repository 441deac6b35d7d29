"""Windows of plates and stains, from a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from captum_pcim._files import delimiter, escaped
from captum_pcim.images.stack import ImageError
from captum_pcim.images.window import Window

SURPLUS = "more cells than columns"


class WindowTable:
    """Windows of plates and stains, read from a CSV file.

    Its columns are ``Stain``, either ``Low`` and ``High`` or ``Mean`` and ``SD``, and, where plates
    differ, ``Metadata_Plate``. What a screen writes as ``windows.csv`` is one.

    Args:
        path: The file.

    Raises:
        ImageError: It is no such table.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        try:
            with open(path, newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file, delimiter=delimiter(file), restkey=SURPLUS)
                columns = [_column(name) for name in reader.fieldnames or ()]
                rows = [{_column(name): value for name, value in row.items()} for row in reader]
        except (UnicodeDecodeError, csv.Error) as error:
            raise ImageError(f"{self.path} is no CSV file in UTF-8: {error}") from error
        if twice := sorted({name for name in columns if name and columns.count(name) > 1}):
            raise ImageError(f"{self.path}: the header row has columns twice: {', '.join(twice)}")
        self.windows: dict[tuple[str, str], Window] = {}
        for number, row in enumerate(rows, start=1):
            place = row.get("plate") or "", row.get("stain") or ""
            try:
                window = _window_of(row)
            except (KeyError, TypeError, ValueError) as error:
                raise ImageError(
                    f"{self.path}: row {number}: expected Stain with Low and High, or Mean and SD, "
                    f"in {len(columns)} cells, got {row}"
                ) from error
            if place in self.windows:
                raise ImageError(f"{self.path}: row {number}: a second window of {' '.join(place)}")
            self.windows[place] = window

    def of(self, plate: str, stains: Sequence[str]) -> list[Window]:
        """The windows of a plate, one a stain; rows without a plate are of all plates.

        Raises:
            ImageError: There is none for a stain of the plate.
        """
        found = []
        for stain in stains:
            own = self.windows.get((escaped(plate), stain))
            window = own or self.windows.get(("", stain))
            if window is None:
                raise ImageError(f"{self.path} has no window for stain {stain} of plate {plate!r}")
            found.append(window)
        return found


def _column(name: str) -> str:
    short = name.strip().lower().removeprefix("metadata_")
    return {"channel": "stain", "std": "sd"}.get(short, short)


def _window_of(row: dict[str, str]) -> Window:
    if not row["stain"] or any(row.get(SURPLUS, ())):
        raise ValueError("no stain, or more cells than columns, as of a number with a comma")
    if row.get("mean") and row.get("low"):
        raise ValueError("two windows")
    if row.get("mean"):
        mean, deviation = float(row["mean"]), float(row["sd"])
        return Window(mean, mean + deviation, clip=False)
    return Window(float(row["low"]), float(row["high"]))
