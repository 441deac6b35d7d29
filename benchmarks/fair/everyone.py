"""Every method against the best of all others: what PCIM is asked, asked of each.

    python -m benchmarks.fair.everyone --write

Reads the scores of images that `python -m benchmarks.fair --part reporting` keeps. The best of many
is partly luck, so hardly any method can be level with it everywhere; these counts say how far each
one is from it.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping

from benchmarks.fair.__main__ import OWN
from benchmarks.fair.instruments import HEADLINES, Scores
from benchmarks.fair.places import means_of, published_cells
from benchmarks.fair.rivals import RIVALS
from benchmarks.fair.store import Store
from benchmarks.fair.verdicts import WORDS, Word, verdict
from benchmarks.results import Cell, Table, add_write_option, publish

METHODS = (OWN, *RIVALS)
NOTE = (
    f"Each of the {len(METHODS)} methods, {OWN} among them, against the one of the best mean of "
    "all others, by set, network and metric, with the test of the verdicts. Fewer comparisons "
    "where scores of single images were not kept."
)


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.fair.everyone", description=__doc__.splitlines()[0]
    )
    add_write_option(parser)
    keep = parser.parse_args().write
    cells = published_cells()
    store = Store("reporting", n_images=12, n_points=11)
    kept = {title: store.read_all(title, METHODS) for title in cells}
    publish("fair/everyone", everyone_table(cells, kept), keep)


def everyone_table(cells: Mapping[str, Table], kept: Mapping[str, Mapping[str, Scores]]) -> Table:
    """One row per method, the one that is behind least often first.

    Args:
        cells: By set and network, the published means of all methods.
        kept: By set and network, the scores of images of each method that has any.
    """
    words: dict[str, Counter[Word]] = {name: Counter() for name in METHODS}
    for title, table in cells.items():
        columns = {column.rstrip(" ↑↓"): table.column(column) for column in table.columns}
        for metric in HEADLINES:
            for name, word in _words(columns[metric], metric, kept[title]):
                words[name][word] += 1
    counted = sorted(
        ((name, count) for name, count in words.items() if count),
        key=lambda pair: pair[1]["behind"] / pair[1].total(),
    )
    rows = [
        [name, *(f"{count[w]} ({count[w] / count.total():.0%})" for w in WORDS), count.total()]
        for name, count in counted
    ]
    title = "Every method against the best of all others"
    return Table(title, ["method", *WORDS, "comparisons"], rows, NOTE)


def _words(
    column: Mapping[str, Cell], metric: str, kept: Mapping[str, Scores]
) -> Iterator[tuple[str, Word]]:
    """The verdict on each method in one metric of one cell, where it can be told."""
    sign, by_mean = HEADLINES[metric], _means(column, metric, kept)
    for name, own in kept.items():
        others = [other for other in by_mean if other != name]
        best = max(others, key=lambda other: sign * by_mean[other])
        if best in kept:
            yield name, verdict(own[metric], {best: kept[best][metric]}, sign).word


def _means(column: Mapping[str, Cell], metric: str, kept: Mapping[str, Scores]) -> dict[str, float]:
    """The mean of each method: of its images where these are kept, or else as published."""
    own = {name: float(scores[metric].nanmean()) for name, scores in kept.items()}
    return means_of(column) | own


if __name__ == "__main__":
    main()
