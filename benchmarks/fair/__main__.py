"""PCIM against fair rivals: first, tied or behind, by set, network and metric.

    python -m benchmarks.fair --part tuning --images 12 --methods PCIM
    python -m benchmarks.fair --part tuning --method "PCIM(model, smoothing=Smoothing(1.5))"
    python -m benchmarks.fair --part reporting --write

Networks, images and the rivals' scores are kept in benchmarks/out/fair, so only what is new is run;
the method under test always is. Published figures of sets and methods that are not run stay, if
they were measured alike; a verdict needs the scores of the best rival. `--method` takes an
expression of `model` with the names of captum_pcim, or `module:factory`, called with the network.
Rivals are compared in the form that was best on the tuning parts (`python -m
benchmarks.fair.forms`). Scores of every image go to a CSV.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import sklearn  # noqa: F401  (Captum's Lime needs it; missing, it is missed now)
from torch import Tensor, nn

import captum_pcim
from benchmarks.bootstrap import estimate
from benchmarks.fair.cells import FAMILIES, FOLDER, Cell, cells
from benchmarks.fair.forms import chosen_forms
from benchmarks.fair.instruments import (
    HEADLINES,
    REFERENCES,
    SANITY,
    MakeMaps,
    Scores,
    full_panel,
)
from benchmarks.fair.rivals import PLAIN, RIVALS, maps_of, rivals
from benchmarks.fair.store import Store
from benchmarks.fair.verdicts import WORDS, Verdict, verdicts
from benchmarks.results import RESULTS, Table, add_write_option, publish, read, write
from benchmarks.sets.classifiers import ARCHITECTURES
from benchmarks.sets.real_data import DEFAULT_DATA
from captum_pcim.comparison.methods import as_method
from captum_pcim.comparison.trivial import trivial_methods

OWN = "PCIM"
CELL = ": fair rivals"  # in the titles of the tables of cells
NOTE = (
    "At most {n} rightly classified images of each {part} part, curves of {points} points. First "
    "or behind: the 95 % bootstrap interval of the paired difference from the rival of the best "
    "mean leaves out 0. Insertion and deletion are means over five references."
)
TRIVIAL = tuple(trivial_methods())
METHODS = (OWN, *RIVALS, *TRIVIAL)


def main() -> None:
    arguments = _arguments()
    store = Store(arguments.part, arguments.images, arguments.points)
    chosen = cells(
        arguments.sets, arguments.architectures, arguments.part, arguments.images, arguments.data
    )
    absent = [name for name in arguments.sets if name not in {cell.name for cell in chosen}]
    if absent:
        print(f"left out, as {arguments.data} has no {arguments.part} part of them: {absent}")
    if not chosen:
        sys.exit(1)
    run(store, chosen, arguments)
    keep = arguments.write and arguments.part == "reporting"
    path = FOLDER / f"{arguments.part}.csv"
    store.write_table(path, _all_scores(store, chosen))
    print(f"scores of every image: {path}\n")
    note = NOTE.format(n=arguments.images, part=arguments.part, points=arguments.points)
    by_cell = found_scores(store, chosen)
    tables = {title: means_table(title, found, note) for title, found in by_cell.items()}
    if keep:
        tables = {title: with_published_rows(t, file_of(title)) for title, t in tables.items()}
        for title, table in tables.items():  # before anything is written
            check_rivals(table, by_cell[title])
        for title, table in tables.items():
            write(file_of(title), table)
    for title, table in tables.items():
        print(f"{title}\n\n{table.markdown(intervals=False)}\n")
    judged = judge(by_cell)
    if keep:
        judged = published_verdicts(note) | judged
    publish("fair/verdicts", verdict_table(judged, note), keep)
    publish("fair/counts", count_table(judged, note), keep)


def file_of(title: str) -> str:
    """The name of the result file of a cell."""
    return f"fair/{title.replace(', ', '_').replace(' ', '_')}"


def run(store: Store, chosen: list[Cell], arguments: argparse.Namespace) -> None:
    """Score what is not kept yet, and the method under test."""
    for cell in chosen:
        for method in arguments.methods:
            if method != OWN and store.read(cell, method) is not None:
                continue
            started = time.perf_counter()
            make_maps = tested(arguments.method) if method == OWN else rival(cell, method)
            make_maps = on_device(make_maps, arguments.device)
            store.write(cell, method, full_panel(cell, make_maps, arguments.points))
            seconds = time.perf_counter() - started
            print(f"{cell.name}, {cell.architecture}, {method}: {seconds:.0f} s", flush=True)


def tested(text: str) -> MakeMaps:
    """The maps of the method under test, from an expression or `module:factory`."""
    build = _evaluated(text) if "(" in text else _imported(text)

    def make_maps(model: nn.Module, inputs: Tensor, target: Tensor) -> Tensor:
        return maps_of({PLAIN: as_method(build(model))}, inputs, target)[PLAIN]

    return make_maps


def _evaluated(expression: str) -> Callable[[nn.Module], Any]:
    return lambda model: eval(expression, {**vars(captum_pcim), "model": model})


def _imported(place: str) -> Callable[[nn.Module], Any]:
    module, _, name = place.partition(":")
    factory: Callable[[nn.Module], Any] = getattr(importlib.import_module(module), name)
    return factory


def rival(cell: Cell, name: str) -> MakeMaps:
    """The maps of a rival or of a map that knows nothing, in the form of the set's family."""

    def make_maps(model: nn.Module, inputs: Tensor, target: Tensor) -> Tensor:
        if name in TRIVIAL:
            forms = {PLAIN: as_method(trivial_methods()[name])}
        else:
            forms = rivals(model)[name]
        form = PLAIN if PLAIN in forms else chosen_forms()[FAMILIES[cell.name]][name]
        return maps_of({form: forms[form]}, inputs, target)[form]

    return make_maps


def on_device(make_maps: MakeMaps, device: str) -> MakeMaps:
    """The same maps made on some device; they are scored on the CPU."""

    def moved(model: nn.Module, inputs: Tensor, target: Tensor) -> Tensor:
        try:
            return make_maps(model.to(device), inputs.to(device), target.to(device)).cpu()
        finally:
            model.cpu()

    return moved


def found_scores(store: Store, chosen: list[Cell]) -> dict[str, dict[str, Scores]]:
    """By cell and method what is kept."""
    return {
        cell.title: {
            name: scores for name in METHODS if (scores := store.read(cell, name)) is not None
        }
        for cell in chosen
    }


def judge(by_cell: dict[str, dict[str, Scores]]) -> dict[str, dict[str, Verdict]]:
    """By cell and metric the verdict on the method under test, where it has met a rival."""
    return {
        title: verdicts(found[OWN], {name: s for name, s in found.items() if name in RIVALS})
        for title, found in by_cell.items()
        if OWN in found and any(name in RIVALS for name in found)
    }


def with_published_rows(table: Table, name: str, folder: Path = RESULTS) -> Table:
    """The table with the rows of methods that were not run, where they were measured alike."""
    if not (folder / f"{name}.csv").exists():
        return table
    published = read(name, folder)
    if (published.note, list(published.columns)) != (table.note, list(table.columns)):
        return table
    rows = {str(row[0]): row for row in (*published.rows, *table.rows)}
    return replace(table, rows=[rows[method] for method in METHODS if method in rows])


def check_rivals(table: Table, found: dict[str, Scores]) -> None:
    """Stop where the best rival's scores of images are not at hand to compare with."""
    missing = set()
    for column in table.columns[1 : 1 + len(HEADLINES)]:
        means = {name: cell for name, cell in table.column(column).items() if name in RIVALS}
        sign = HEADLINES[column.rstrip(" ↑↓")]
        missing |= {max(means, key=lambda name: sign * float(means[name].figure))} - set(found)
    if missing:
        sys.exit(f"{table.title}: run {sorted(missing)} too, of which only means are known")


def published_verdicts(note: str, folder: Path = RESULTS) -> dict[str, dict[str, Verdict]]:
    """What stays as it is where only some sets are run; nothing where it was measured otherwise."""
    if not (folder / "fair/verdicts.csv").exists():
        return {}
    table = read("fair/verdicts", folder)
    if table.note != " ".join(note.split()):
        return {}
    by_metric = {metric: table.column(metric) for metric in HEADLINES}
    titles = [str(row[0]) for row in table.rows]
    return {
        title: {m: Verdict.read(str(cells[title])) for m, cells in by_metric.items()}
        for title in titles
    }


def verdict_table(judged: dict[str, dict[str, Verdict]], note: str) -> Table:
    """One row per cell: the verdict, the mean, and the best rival's."""
    rows = [[title, *(str(cell[metric]) for metric in HEADLINES)] for title, cell in judged.items()]
    return Table(f"{OWN} against the best fair rival", ["set, network", *HEADLINES], rows, note)


def count_table(judged: dict[str, dict[str, Verdict]], note: str) -> Table:
    """How often the method is first, tied and behind, by metric and in all."""
    rows = []
    for metric in (*HEADLINES, "all"):
        wanted = HEADLINES if metric == "all" else [metric]
        words = Counter(cell[name].word for cell in judged.values() for name in wanted)
        shares = (f"{words[w]} ({words[w] / max(1, words.total()):.0%})" for w in WORDS)
        rows.append([metric, *shares])
    return Table(f"{OWN} against the best fair rival, counted", ["metric", *WORDS], rows, note)


def means_table(title: str, found: dict[str, Scores], note: str) -> Table:
    """One row per method, means over images with their intervals."""
    beside = [f"{curve}, {name}" for curve in ("insertion", "deletion") for name in REFERENCES]
    metrics = [*HEADLINES, *beside, *SANITY]
    rows = [
        [name, *(estimate(scores[metric]).spread for metric in metrics)]
        for name, scores in found.items()
    ]
    arrows = {1: " ↑", -1: " ↓", 0: ""}
    columns = [metric + arrows[HEADLINES.get(metric, 0)] for metric in metrics]
    return Table(title + CELL, ["method", *columns], rows, note)


def _all_scores(store: Store, chosen: list[Cell]) -> Iterator[tuple[Cell, str, Scores]]:
    for cell in chosen:
        for method in METHODS:
            scores = store.read(cell, method)
            if scores is not None:
                yield cell, method, scores


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.fair", description=__doc__.splitlines()[0]
    )
    add = parser.add_argument
    add("--data", type=Path, default=DEFAULT_DATA, help="folder of the sets of others")
    add("--sets", nargs="+", default=[*FAMILIES], choices=[*FAMILIES], metavar="SET")
    add("--architectures", nargs="+", default=[*ARCHITECTURES], choices=[*ARCHITECTURES])
    add("--methods", nargs="+", default=[*METHODS], metavar="NAME",
        choices=METHODS,
        help="to run where they are not kept yet; PCIM is the one under test")  # fmt: skip
    add("--method", default="PCIM(model)", help="the method under test (default: PCIM(model))")
    add("--part", choices=("tuning", "reporting"), default="tuning")
    add("--images", type=int, default=12, help="per set and network (default: 12)")
    add("--device", default="cpu", help="where maps are made; they are scored on the CPU")
    add("--points", type=int, default=11, help="of each curve (default: 11)")
    add_write_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    # Captum's notices on how its methods hook and require gradients.
    warnings.filterwarnings("ignore", category=UserWarning, module="captum")
    main()
