"""A few hundred numbers of every mode's map and of every measure, kept in tests/golden.

    python -m benchmarks.robustness.golden

writes them anew, after a change that is meant to change maps or measures.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.robustness.measures import panel, tensors_in
from benchmarks.robustness.modes import cases

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"
MEASURES = GOLDEN / "measures.json"
N_NUMBERS = 300  # of each mode, at most


def numbers(explain: Callable[[], Any]) -> np.ndarray:
    """Some of the weights of a mode's maps, evenly spread, in float64."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        maps = explain()[0]
    return _some((maps,) if isinstance(maps, Tensor) else maps)


def measured(call: Callable[[], Any]) -> np.ndarray:
    """Some of the numbers that a measure gives, evenly spread, in float64."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _some(tensors_in(call()))


def kept_measures() -> dict[str, list[float]]:
    """The numbers of each measure that were kept."""
    return dict(json.loads(MEASURES.read_text(encoding="utf-8")))


def _some(tensors: Sequence[Tensor]) -> np.ndarray:
    every = torch.cat([each.flatten().double() for each in tensors])
    places = torch.linspace(0, len(every) - 1, min(N_NUMBERS, len(every))).round().long()
    return every[places].numpy()


def path(mode: str) -> Path:
    """The file of a mode."""
    return GOLDEN / f"{mode.replace(',', '').replace(' ', '_')}.txt"


def main() -> None:
    torch.set_num_threads(1)
    GOLDEN.mkdir(exist_ok=True)
    for old in GOLDEN.glob("*.txt"):
        old.unlink()
    for mode, explain in cases():
        np.savetxt(path(mode), numbers(explain), fmt="%.6f")
    found = {name: _digits(measured(call)) for name, call in panel()}
    lines = (f"{json.dumps(name)}: {json.dumps(digits)}" for name, digits in found.items())
    MEASURES.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(f"{len(list(GOLDEN.glob('*.txt')))} modes and {len(found)} measures in {GOLDEN}")


def _digits(values: np.ndarray) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


if __name__ == "__main__":
    main()
