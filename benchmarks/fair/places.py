"""Every method's mean place among all, from the published tables of the cells.

    python -m benchmarks.fair.places --write

Verdicts compare one method with the best of many rivals, cell by cell, and none of these is the
best everywhere. Places ask what a method can be expected to be in a cell that is not known yet.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import fmean

from benchmarks.fair.__main__ import CELL, OWN
from benchmarks.fair.instruments import HEADLINES
from benchmarks.fair.rivals import RIVALS
from benchmarks.results import Cell, Spread, Table, add_write_option, names, publish, read

LOCALISATION = ("relevance_mass_accuracy", "relevance_rank_accuracy", "average_precision", "grid")
GROUPS = {
    "all": tuple(HEADLINES),
    "fidelity": tuple(metric for metric in HEADLINES if metric not in LOCALISATION),
    "localisation": LOCALISATION,
}
SANITY = "randomised, rank"
NOTE = (
    f"Place 1 to {len(RIVALS) + 1} by the mean over a cell's images, averaged over {{n}} sets and "
    "networks and these metrics; equal means share their places. Last, the mean size of the rank "
    "correlation between the maps of the trained and the randomised network."
)


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.fair.places", description=__doc__.splitlines()[0]
    )
    add_write_option(parser)
    keep = parser.parse_args().write
    publish("fair/places", place_table(published_cells().values()), keep)


def published_cells() -> dict[str, Table]:
    """The published means of all methods, by set and network."""
    tables = [read(name) for name in names() if name.startswith("fair/")]
    return {t.title.removesuffix(CELL): t for t in tables if t.title.endswith(CELL)}


def place_table(cells: Iterable[Table]) -> Table:
    """One row per method, the one of the best mean place first."""
    found: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in (OWN, *RIVALS)}
    cells = list(cells)
    for cell in cells:
        columns = {column.rstrip(" ↑↓"): column for column in cell.columns}
        for metric, sign in HEADLINES.items():
            for name, place in places(means_of(cell.column(columns[metric])), sign).items():
                found[name][metric].append(place)
        for name, mean in means_of(cell.column(SANITY)).items():
            found[name][SANITY].append(abs(mean))
    rows = [
        [name, *(f"{fmean(v for m in group for v in own[m]):.1f}" for group in GROUPS.values()),
         f"{fmean(own[SANITY]):.2f}"]
        for name, own in found.items()
    ]  # fmt: skip
    rows.sort(key=lambda row: float(row[1]))
    title = "Mean places among all methods"
    return Table(title, ["method", *GROUPS, SANITY], rows, NOTE.format(n=len(cells)))


def places(means: Mapping[str, float], sign: int) -> dict[str, float]:
    """The place of each mean, from 1; equal ones share the mean of their places.

    Args:
        means: By method.
        sign: 1 where higher is better, -1 where lower is.
    """
    values = [sign * mean for mean in means.values()]
    return {
        name: 1 + sum(v > sign * mean for v in values) + (values.count(sign * mean) - 1) / 2
        for name, mean in means.items()
    }


def means_of(column: Mapping[str, Cell]) -> dict[str, float]:
    """The mean of each method in a column of a cell's table."""
    known = {name: cell for name, cell in column.items() if name in (OWN, *RIVALS)}
    return {name: float(c.figure if isinstance(c, Spread) else c) for name, c in known.items()}


if __name__ == "__main__":
    main()
