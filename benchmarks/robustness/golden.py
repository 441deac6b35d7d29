"""A few hundred numbers of the map of every mode, kept in tests/golden for the tests.

    python -m benchmarks.robustness.golden

writes them anew, after a change that is meant to change maps.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.robustness.modes import cases

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"
N_NUMBERS = 300  # of each mode, at most


def numbers(explain: Callable[[], Any]) -> np.ndarray:
    """Some of the weights of a mode's maps, evenly spread, in float64."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        maps = explain()[0]
    tensors = (maps,) if isinstance(maps, Tensor) else maps
    weights = torch.cat([each.flatten().double() for each in tensors])
    places = torch.linspace(0, len(weights) - 1, min(N_NUMBERS, len(weights))).round().long()
    return weights[places].numpy()


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
    print(f"{len(list(GOLDEN.glob('*.txt')))} modes in {GOLDEN}")


if __name__ == "__main__":
    main()
