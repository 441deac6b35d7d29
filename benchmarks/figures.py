"""Draws the figures of docs/benchmarks.md from the result files.

python -m benchmarks.figures
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from benchmarks.results import RESULTS, Spread, Table, read

FIGURES = Path(__file__).parents[1] / "docs" / "figures"
SOURCE = "Source"  # what a figure's file says of the result files it was drawn from


def forward_only(table: Table) -> Figure:
    """Each metric against the forward passes, a line per method."""
    metrics = list(table.columns)[2:]
    figure, axes = plt.subplots(1, len(metrics), figsize=(3.2 * len(metrics), 3.2))
    for axis, metric in zip(axes, metrics, strict=True):
        at = list(table.columns).index(metric)
        for name in dict.fromkeys(row[0] for row in table.rows if row[1]):
            rows = [row for row in table.rows if row[0] == name]
            budgets = [float(str(row[1])) for row in rows]
            width = 2.5 if name == "PCIM" else 1.2
            values = [_number(row[at]) for row in rows]
            axis.plot(budgets, values, marker="o", markersize=3, linewidth=width, label=name)
        expected = _number(table.rows[-1][at])
        axis.axhline(expected, color="0.4", linestyle="--", label=str(table.rows[-1][0]))
        axis.set(title=metric, xscale="log", xlabel="forward passes per image")
    axes[-1].legend(fontsize=7)
    figure.tight_layout()
    return figure


def time_to_quality(table: Table) -> Figure:
    """Average precision against seconds, a point per setting of a method."""
    figure, axis = plt.subplots(figsize=(7, 3.6))
    for method in dict.fromkeys(str(row[0]).split(",")[0] for row in table.rows):
        rows = [row for row in table.rows if str(row[0]).split(",")[0] == method]
        seconds, precision = ([_number(row[at]) for row in rows] for at in (2, 1))
        axis.plot(seconds, precision, marker="o", linewidth=2.5 if method == "PCIM" else 1.2,
                  label=method)  # fmt: skip
    axis.set(xscale="log", xlabel="seconds an image", ylabel="average precision")
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.tight_layout()
    return figure


def _number(cell: object) -> float:
    return float(cell.figure if isinstance(cell, Spread) else str(cell))


DRAWN: dict[str, tuple[str, Callable[[Table], Figure]]] = {
    "forward_only_synthetic_fluorescence": ("forward_only/synthetic_fluorescence", forward_only),
    "forward_only_bbbc010_fluorescence": ("forward_only/bbbc010_fluorescence", forward_only),
    "time_to_quality": ("speed/time_to_quality", time_to_quality),
}


def digest(result: str) -> str:
    """What a figure's file keeps, so that it is known which result file it was drawn from."""
    return hashlib.sha256((RESULTS / f"{result}.csv").read_bytes()).hexdigest()


def main() -> None:
    plt.switch_backend("Agg")
    for name, (result, draw) in DRAWN.items():
        figure = draw(read(result))
        path = FIGURES / f"{name}.png"
        figure.savefig(path, dpi=110, metadata={SOURCE: digest(result)})
        plt.close(figure)
        print(path)


if __name__ == "__main__":
    main()
