"""The intensities of a stain that become 0 and 1, or what they are measured by; tables of them."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from captum_pcim._files import csv_rows, escaped
from captum_pcim.images.stack import ImageError, Pixels


@dataclass(frozen=True)
class Window:
    """The intensities that become 0 and 1.

    Attributes:
        low: Becomes 0: an intensity, or what it is measured by.
        high: Becomes 1, likewise.
        percent: Whether the two are percentiles (0 to 100).
        deviations: Whether the two are standard deviations from the mean.
        clip: Whether intensities outside become 0 and 1 as well.
    """

    low: float
    high: float
    percent: bool = False
    deviations: bool = False
    clip: bool = True

    def __post_init__(self) -> None:
        """Refuse a window that is empty or not a number."""
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"window: LOW must be below HIGH, got {self.low} and {self.high}")
        if self.percent and not (self.low >= 0 and 1 < self.high <= 100):
            raise ValueError(
                f"window: percentiles lie in 0..100, not in 0..1, got {self.low} and {self.high}"
            )

    @classmethod
    def parse(cls, low: str, high: str) -> Window:
        """Read ``"100", "4095"`` as intensities and ``"1%", "99.8%"`` as percentiles.

        Raises:
            ValueError: They are no numbers, one alone is a percentile, or they are no window.
        """
        percent = low.endswith("%")
        if percent != high.endswith("%"):
            raise ValueError(f"window: both ends or neither in percent, got {low} and {high}")
        try:
            return cls(float(low.rstrip("%")), float(high.rstrip("%")), percent)
        except ValueError as error:
            if str(error).startswith("window"):
                raise
            raise ValueError(f"window: expected two numbers, got {low!r} and {high!r}") from None

    @property
    def measured(self) -> bool:
        """Whether its ends are to be measured."""
        return self.percent or self.deviations

    def ends(self, values: Pixels) -> tuple[float, float]:
        """The intensities of its ends, measured on intensities of any shape."""
        if self.percent:
            low, high = np.percentile(values, (self.low, self.high))
        elif self.deviations:
            mean, deviation = values.mean(dtype=np.float64), values.std(dtype=np.float64)
            low, high = mean + self.low * deviation, mean + self.high * deviation
        else:
            low, high = self.low, self.high
        return float(low), float(high)


RAW = Window(0, 1, clip=False)
ZSCORE = Window(0, 1, deviations=True, clip=False)


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
                names, lines = csv_rows(file)
                columns = [_column(name) for name in names]
                rows = [(n, dict(zip(columns, row.values(), strict=True))) for n, row in lines]
        except (UnicodeDecodeError, csv.Error) as error:
            raise ImageError(f"{self.path} is no CSV file in UTF-8: {error}") from error
        except ValueError as error:
            raise ImageError(f"{self.path}: {error}") from error
        if twice := sorted({name for name in columns if columns.count(name) > 1}):
            raise ImageError(f"{self.path}: has columns twice: {twice}")
        self.windows: dict[tuple[str, str], Window] = {}
        for line, row in rows:
            if not any(row.values()):
                continue
            place = row.get("plate", ""), row.get("stain", "")
            try:
                window = _window_of(row)
            except (KeyError, ValueError) as error:
                raise ImageError(
                    f"{self.path}: line {line}: expected Stain with Low and High, or Mean and SD, "
                    f"got {row}"
                ) from error
            if place in self.windows:
                raise ImageError(f"{self.path}: line {line}: a second window of {' '.join(place)}")
            self.windows[place] = window

    def of(self, plate: str, stains: Sequence[str]) -> list[Window]:
        """The windows of a plate, one a stain; rows without a plate are of all plates.

        Raises:
            ImageError: There is none for a stain of the plate.
        """
        found = []
        for stain in stains:
            name = stain.strip()  # as cells are
            own = self.windows.get((escaped(plate).strip(), name))
            window = own or self.windows.get(("", name))
            if window is None:
                raise ImageError(f"{self.path} has no window for stain {stain} of plate {plate!r}")
            found.append(window)
        return found


def _column(name: str) -> str:
    short = name.strip().lower().removeprefix("metadata_")
    return {"channel": "stain", "std": "sd"}.get(short, short)


def _window_of(row: dict[str, str]) -> Window:
    if not row["stain"]:
        raise ValueError("no stain")
    if row.get("mean") and row.get("low"):
        raise ValueError("two windows")
    if row.get("mean"):
        mean, deviation = float(row["mean"]), float(row["sd"])
        return Window(mean, mean + deviation, clip=False)
    return Window(float(row["low"]), float(row["high"]))
