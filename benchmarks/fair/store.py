"""Scores of one method on one cell, kept on disk, and all of them as a table of images."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.fair.cells import FOLDER, Cell
from benchmarks.fair.instruments import Scores


class Store:
    """Files of one part and one number of images and of points.

    Args:
        part: "tuning" or "reporting".
        n_images: Per cell.
        n_points: Of each curve.
    """

    def __init__(self, part: str, n_images: int, n_points: int) -> None:
        self.folder = FOLDER / part / f"{n_images} images, {n_points} points"

    def read(self, cell: Cell, method: str) -> Scores | None:
        return self.read_all(cell.title, [method]).get(method)

    def read_all(self, title: str, methods: Iterable[str]) -> dict[str, Scores]:
        """What is kept of some methods on the cell of this title."""
        found: dict[str, Scores] = {}
        for method in methods:
            path = self._path(title, method)
            if path.exists():
                with np.load(path) as arrays:
                    found[method] = {name: torch.from_numpy(arrays[name]) for name in arrays}
        return found

    def write(self, cell: Cell, method: str, scores: Scores) -> None:
        path = self._path(cell.title, method)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **{name: values.numpy() for name, values in scores.items()})

    def write_table(self, path: Path, rows: Iterator[tuple[Cell, str, Scores]]) -> None:
        """Write one row per set, network, method and image."""
        with open(path, "w", newline="") as stream:
            writer: csv.DictWriter[str] | None = None
            for cell, method, scores in rows:
                for i in range(len(cell.inputs)):
                    row = {"set": cell.name, "network": cell.architecture, "method": method,
                           "image": i}  # fmt: skip
                    row |= {metric: float(values[i]) for metric, values in scores.items()}
                    if writer is None:
                        writer = csv.DictWriter(stream, list(row))
                        writer.writeheader()
                    writer.writerow(row)

    def _path(self, title: str, method: str) -> Path:
        return self.folder / title / f"{method}.npz"
