"""What every mode and every measure gives, in a few hundred numbers each, kept in tests/golden.

    python -m benchmarks.robustness.golden

writes it anew, after a change that is meant to change it; `--only told measures` leaves the maps.
"""

from __future__ import annotations

import argparse
import json
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.robustness.measures import panel, tensors_in
from benchmarks.robustness.modes import cases
from captum_pcim import Diagnostics

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"
PARTS = ("maps", "told", "measures")
N_NUMBERS = 300  # of each map and of each measure, at most
N_TOLD = 30  # of each part of the diagnostics


@dataclass(frozen=True)
class Found:
    """What a mode gave.

    Attributes:
        weights: Some of the weights of its maps.
        told: Some numbers of each part of its diagnostics, by its name and dtype.
        words: Its verdicts and warnings, without the numbers in them.
    """

    weights: np.ndarray
    told: dict[str, list[float]]
    words: list[str]


def found(explain: Callable[[], Any]) -> Found:
    """Call a mode and keep what it gave."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        maps, diagnostics = explain()
    words = [*diagnostics.verdict, *(str(w.message) for w in caught)]
    return Found(
        _some((maps,) if isinstance(maps, Tensor) else maps, N_NUMBERS),
        _told(diagnostics),
        [re.sub(r"\d[\d.e+-]*", "#", text) for text in words],
    )


def measured(call: Callable[[], Any]) -> tuple[str, np.ndarray]:
    """Return the dtypes of what a measure gives, and some of the numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tensors = tensors_in(call())
    return _dtypes(tensors), _some(tensors, N_NUMBERS)


def kept(part: str) -> dict[str, Any]:
    """What was kept of all modes' diagnostics ("told") or of all "measures", by name."""
    return dict(json.loads(_file(part).read_text(encoding="utf-8")))


def path(mode: str) -> Path:
    """The file of a mode's weights."""
    return GOLDEN / f"{mode.replace(',', '').replace(' ', '_')}.txt"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="what to write")
    only = parser.parse_args().only
    torch.set_num_threads(1)
    GOLDEN.mkdir(exist_ok=True)
    if "measures" in only:
        measures = {name: measured(call) for name, call in panel()}
        lines = {name: [dtypes, *_digits(values)] for name, (dtypes, values) in measures.items()}
        _write("measures", lines)
    modes = {mode: found(explain) for mode, explain in cases()}
    if "told" in only:
        _write("told", {mode: {"words": own.words, **own.told} for mode, own in modes.items()})
    if "maps" in only:
        for old in GOLDEN.glob("*.txt"):
            old.unlink()
        for mode, own in modes.items():
            np.savetxt(path(mode), own.weights, fmt="%.6f")
    print(f"{', '.join(only)} of {len(modes)} modes in {GOLDEN}")


def _some(tensors: Sequence[Tensor], most: int) -> np.ndarray:
    """At most so many of their numbers, evenly spread, in float64."""
    every = torch.cat([each.flatten().double() for each in tensors])
    places = torch.linspace(0, len(every) - 1, min(most, len(every))).round().long()
    return every[places].numpy()


def _told(diagnostics: Diagnostics) -> dict[str, list[float]]:
    parts = {name: tensors_in(value) for name, value in vars(diagnostics).items()}
    return {
        f"{name}, {_dtypes(part)}": _digits(_some(part, N_TOLD))
        for name, part in parts.items()
        if part
    }


def _dtypes(tensors: Sequence[Tensor]) -> str:
    return " ".join(dict.fromkeys(str(each.dtype).removeprefix("torch.") for each in tensors))


def _digits(values: np.ndarray) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def _file(part: str) -> Path:
    return GOLDEN / f"{part}.json"


def _write(part: str, kept: dict[str, Any]) -> None:
    """One line per name, so that a change of one is a change of its line."""
    lines = (f"{json.dumps(name)}: {json.dumps(values)}" for name, values in kept.items())
    _file(part).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
