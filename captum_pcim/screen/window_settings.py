"""The table of a screen's TOML file that says which intensities become 0 and 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from captum_pcim.images.intensities import (
    IMAGES_MEASURED,
    Over,
    Scale,
    in_words,
    templates,
)
from captum_pcim.images.windows import Window
from captum_pcim.screen.toml import Table, check


@dataclass(frozen=True)
class WindowSettings(Table):
    """Which intensities become 0 and 1, in the words of :mod:`captum_pcim.images.intensities`.

    Args:
        scale: ``"type"``, ``"raw"``, ``"fixed"``, ``"percentiles"``, ``"zscore"`` or ``"table"``.
            None: what is given below says it, and ``"type"`` where nothing is.
        over: What percentiles, means and deviations are measured over: each ``"image"``, its
            ``"plate"`` or the plate's ``"controls"``.
        fixed: ``{stain: [low, high]}`` in the files' own intensities. A stain that has such a
            window is not measured.
        percentiles: ``[low, high]`` percentiles. Empty: 0.1 and 99.9.
        table: A CSV file of windows, for each plate if need be.
        fields: How many fields of a plate, evenly spread, are measured.
    """

    scale: Scale | None = None
    over: Over = "plate"
    fixed: dict[str, list[float]] = field(default_factory=dict)
    percentiles: list[float] = field(default_factory=list)
    table: str = ""
    fields: int = IMAGES_MEASURED

    def __post_init__(self) -> None:
        """Checks the entries."""
        for stain, window in self.fixed.items():
            entry = f"windows.fixed.{stain}"
            check(_rising(window), entry, "[low, high] with low < high", window)
        ends = self.percentiles
        check(
            not ends or (_rising(ends) and ends[0] >= 0 and 1 < ends[1] <= 100),
            "windows.percentiles",
            "[low, high] in percent, with 0 <= low < high <= 100 and high above 1",
            ends,
        )
        check(self.fields >= 1, "windows.fields", "at least 1", self.fields)
        word, with_fixed = self.word, ("fixed", "percentiles", "zscore")
        check(not self.table or word == "table", "windows.table", "scale = 'table'", word)
        check(not ends or word == "percentiles", "windows.percentiles", "'percentiles'", word)
        check(not self.fixed or word in with_fixed, "windows.fixed", f"one of {with_fixed}", word)
        check(word != "table" or bool(self.table), "windows.table", "a file", self.table)
        measuring = self.over == "plate" or word in ("percentiles", "zscore")
        check(measuring, "windows.over", "scale = 'percentiles' or 'zscore'", word)
        check(word != "fixed" or bool(self.fixed), "windows.fixed", "windows", self.fixed)

    @property
    def word(self) -> Scale:
        """What is done, said or given to understand."""
        if self.scale is not None:
            return self.scale
        if self.table:
            return "table"
        if self.percentiles:
            return "percentiles"
        return "fixed" if self.fixed else "type"

    def templates(self, stains: Sequence[str]) -> list[Window]:
        """The windows of the stains, those to be measured still without their ends."""
        if self.word == "table":
            return []
        ends = [self.fixed.get(stain) for stain in stains]
        given = [None if each is None else Window(each[0], each[1]) for each in ends]
        return templates(self.word, self.percentiles, given)

    def measured(self, stains: Sequence[str]) -> bool:
        """Whether anything is measured over more than the image itself."""
        return self.over != "image" and any(w.measured for w in self.templates(stains))

    def told(self, stains: Sequence[str]) -> str:
        """What is done, for the tables."""
        return in_words(self.word, self.templates(stains), self.over)


def _rising(ends: Sequence[float]) -> bool:
    return len(ends) == 2 and -math.inf < ends[0] < ends[1] < math.inf
