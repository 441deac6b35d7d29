"""The wells' profiles on the page of a plate, where ``captum-pcim profiles`` has made some."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from captum_pcim.screen.store import Store
from captum_pcim.screen.tables import METADATA, PLACE, Row, read_rows

WELLS = ("profiles/wells.csv", "profiles/wells.parquet")  # in the results folder
CODE = re.compile(r"0\d")  # no number is written so
OF_IMAGES = "Image_"  # means of columns of the table of images, which the page has already
HELP = "of the well, from the table of profiles"


@dataclass(frozen=True)
class Profiles:
    """The table of wells.

    Args:
        numbers: Names of the columns that hold numbers.
        texts: Names of those that hold words, as a plate map's.
        rows: By plate and well.
    """

    numbers: Sequence[str] = ()
    texts: Sequence[str] = ()
    rows: Mapping[tuple[str, str], Row] = field(default_factory=dict)

    def of_plate(self, plate: str) -> Row:
        """What the page of a plate is told, ready for JSON; numbers are followed by words."""
        names = [*self.numbers, *self.texts]
        wells = {
            well: [row.get(name) for name in names]
            for (its_plate, well), row in self.rows.items()
            if its_plate == plate
        }
        return {
            "numbers": [[name, HELP] for name in self.numbers] if wells else [],
            "texts": [[name, HELP] for name in self.texts] if wells else [],
            "wells": wells,
        }


def read_profiles(store: Store) -> Profiles:
    """Read the wells of the results' profiles; there are none where no one has made them."""
    there = [store.path / name for name in WELLS if (store.path / name).is_file()]
    if not there:
        return Profiles()
    path = max(there, key=os.path.getmtime)  # of two forms, the one that was written last
    read = {
        (str(row["Metadata_Plate"]), str(row["Metadata_Well"])): {
            name: value for name, value in row.items() if name not in PLACE
        }
        for row in read_rows(path)
    }
    names = list(dict.fromkeys(name for row in read.values() for name in row))
    columns = {name: _column(name, [row[name] for row in read.values()]) for name in names}
    rows = {place: {name: columns[name][i] for name in names} for i, place in enumerate(read)}
    told = {name: [value for value in columns[name] if value is not None] for name in names}
    numbers = [name for name in names if _all(told[name], float) and _is_new(name)]
    texts = [name for name in names if _all(told[name], str) and name.startswith(METADATA)]
    return Profiles(numbers, texts, rows)


def _column(name: str, values: Sequence[Any]) -> list[float | str | None]:
    """Numbers, whole or of few digits; or words, as of compounds, some called 7, 007 or "nan"."""
    numbers: list[float | str | None] = [_number(value) for value in values]
    gaps = [value is None or value == "" or value != value for value in values]
    words = [None if gap else str(value) for value, gap in zip(values, gaps, strict=True)]
    pairs = zip(words, numbers, strict=True)
    named = any(word and (number is None or CODE.match(word)) for word, number in pairs)
    return [*words] if name.startswith(METADATA) and named else numbers


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if number.is_integer():  # a count, or what something is called
        return number
    return float(f"{number:.4g}") if abs(number) < float("inf") else None


def _all(values: Sequence[Any], kind: type) -> bool:
    return bool(values) and all(isinstance(value, kind) for value in values)


def _is_new(name: str) -> bool:
    return not name.startswith(OF_IMAGES) or name.startswith(f"{OF_IMAGES}ClassShare_")
