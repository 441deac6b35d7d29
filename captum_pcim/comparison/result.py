"""What a comparison found: every method's maps, scores and costs, as a table and as figures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from captum_pcim._extras import needed
from captum_pcim._files import csv_bytes, write_bytes
from captum_pcim.comparison.methods import Reduction
from captum_pcim.comparison.metrics import Case
from captum_pcim.metrics import Curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from captum_pcim.visualize.colours import Colours


@dataclass(frozen=True)
class MethodResult:
    """What one method made of the images, and at what cost.

    Attributes:
        maps: Maps of shape (N, 1, H, W).
        reduce: How attributions were reduced over the stains.
        seconds: Seconds per image.
        forwards: Rows sent forward through the network, per image; None where they could not be
            counted, for a function whose network is not a module.
        backwards: Rows that a gradient came back from, per image; None likewise.
        scores: For each metric one score per image, shape (N,).
        curves: For each metric that is a curve, the curve.
        notes: What PCIM warned of, each once.
    """

    maps: Tensor
    reduce: Reduction
    seconds: float
    forwards: float | None
    backwards: float | None
    scores: dict[str, Tensor]
    curves: dict[str, Curve]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` returns; `print` it for the table.

    Attributes:
        case: Network, images, classes and masks.
        runs: The methods' runs, by name.
        chance: For each metric that has one, the chance level per image, shape (N,).
    """

    case: Case
    runs: dict[str, MethodResult]
    chance: dict[str, Tensor]

    def table(self) -> list[dict[str, Any]]:
        """Return one row per method: metrics averaged over images, passes and seconds per image.

        Images that a metric has no answer for are left out of its average. A last row holds the
        chance levels, where there are any.
        """
        rows = [
            {
                "method": name,
                "reduce": run.reduce,
                **{metric: _mean(scores) for metric, scores in run.scores.items()},
                "forwards": run.forwards,
                "backwards": run.backwards,
                "seconds": run.seconds,
            }
            for name, run in self.runs.items()
        ]
        if self.chance:
            empty = dict.fromkeys(rows[0])
            chance = {metric: _mean(levels) for metric, levels in self.chance.items()}
            rows.append({**empty, "method": "chance level", **chance})
        return rows

    def to_pandas(self) -> Any:
        """Return the table as a pandas DataFrame.

        Raises:
            ImportError: If pandas is not installed.
        """
        return needed("pandas", "to_pandas needs", "pandas").DataFrame(self.table())

    def curves(self) -> dict[str, dict[str, Curve]]:
        """Return the curves by metric and method."""
        names = {name: None for run in self.runs.values() for name in run.curves}
        return {
            name: {method: run.curves[name] for method, run in self.runs.items()} for name in names
        }

    def plot(self, max_images: int = 8, colours: Colours = None) -> Figure:
        """Draw images, masks and maps side by side; see :mod:`captum_pcim.comparison.figures`."""
        from captum_pcim.comparison.figures import plot_comparisons

        return plot_comparisons(self, max_images=max_images, colours=colours)

    def plot_curves(self) -> Figure:
        """Draw the curves, averaged over images."""
        from captum_pcim.comparison.figures import plot_curves

        return plot_curves(self.curves())

    def __str__(self) -> str:
        """Return the table as text."""
        return table_text(self.table())


def table_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows of equal keys as aligned text, numbers with three digits."""
    cells = [list(rows[0])] + [[_cell(value) for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    # Words stand on the left of their column, numbers on the right.
    aligns = ["<" if isinstance(value, str) else ">" for value in rows[0].values()]
    columns = list(zip(aligns, widths, strict=True))
    lines = (
        "  ".join(f"{cell:{a}{w}}" for cell, (a, w) in zip(line, columns, strict=True))
        for line in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def write_table(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of equal keys as `<name>.csv`, in full precision, and as `<name>.txt`.

    Args:
        folder: Where to; it must exist.
        name: File name without a suffix.
        rows: The table; None becomes an empty cell.
    """
    write_bytes(folder / f"{name}.csv", csv_bytes(list(rows[0]), rows))
    write_bytes(folder / f"{name}.txt", (table_text(rows) + "\n").encode())


def write_figure(folder: Path, name: str, figure: Figure) -> None:
    """Write a figure as `<name>.png`.

    Args:
        folder: Where to; it must exist.
        name: File name without a suffix.
        figure: The figure.
    """
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=150)
    write_bytes(folder / f"{name}.png", stream.getvalue())


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _mean(scores: Tensor) -> float:
    return float(scores.nanmean())
