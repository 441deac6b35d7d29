"""``captum-pcim profiles``: what a screen found, by well, treatment and class."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from captum_pcim._errors import noting_warnings
from captum_pcim.cli.options import positive
from captum_pcim.core.warn import PCIMWarning

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = {"csv": ".csv", "parquet": ".parquet", "h5ad": ".h5ad"}
_DESCRIPTION = """\
Average what a screen measured over wells, treatments and classes, with bootstrap intervals over
wells, and test whether wells that were treated alike differ by their place on the plate. Writes
wells, treatments, classes and layout.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "profiles",
        help="a screen's measurements by well, treatment and class",
        description=_DESCRIPTION,
    )
    add = parser.add_argument
    add("results", type=Path, metavar="RESULTS", help="results folder of captum-pcim screen")
    add(
        "--plate-map",
        type=Path,
        metavar="FILE",
        help="CSV with the columns well, treatment and others; plate where plates differ (default: "
        "the Metadata_ columns of the load file)",
    )
    add(
        "--treatment",
        default="treatment",
        metavar="COLUMN",
        help="the column that tells the treatment (default: treatment)",
    )
    add("--objects", type=Path, metavar="FILE", help="another table of objects than the screen's")
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="default: RESULTS/profiles, where captum-pcim screen --collect finds what its pages "
        "show",
    )
    add(
        "--format",
        nargs="+",
        choices=tuple(SUFFIXES),
        default=["csv"],
        help="csv (default), parquet; h5ad (AnnData) for the wells",
    )
    add("--permutations", type=positive, default=1999, metavar="N", help="default: 1999")
    add("--seed", type=int, default=0, help="default: 0")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    with noting_warnings(told=PCIMWarning) as warned:
        tables = _tables(args)
    for warning in dict.fromkeys(map(str, warned)):  # wells are averaged twice, told once
        print(f"captum-pcim profiles: {warning}", file=sys.stderr)
    _write(tables, args)
    return 0


def _tables(args: argparse.Namespace) -> dict[str, pd.DataFrame]:
    from captum_pcim import profiles

    images, objects = profiles.read_results(args.results, args.objects)
    plate_map = None if args.plate_map is None else profiles.read_plate_map(args.plate_map)
    wells = profiles.per_well(images, objects, plate_map)
    treatment = _treatment(args.treatment, wells)
    tables = {
        "wells": wells,
        "treatments": profiles.per_treatment(wells, treatment, seed=args.seed),
    }
    if "Class" in images:
        by_class = profiles.per_well(images, objects, plate_map, by_class=True)
        tables["classes"] = profiles.per_class(by_class, treatment, seed=args.seed)
    tables["layout"] = profiles.layout_test(
        wells, treatment, n_permutations=args.permutations, seed=args.seed
    )
    return tables


def _treatment(name: str, wells: pd.DataFrame) -> str:
    """The column of that name, or the one that differs from it by nothing but its letters' case."""
    known = [str(column) for column in wells.columns if column.startswith("Metadata_")]
    names = {column.removeprefix("Metadata_"): column for column in known}
    asked = name.removeprefix("Metadata_")
    fitting = [asked] if asked in names else [n for n in names if n.lower() == asked.lower()]
    if len(fitting) != 1:
        expected = fitting or list(names)
        raise ValueError(f"treatment: expected one of the columns {expected}, got {name!r}")
    return names[fitting[0]]


def _write(tables: dict[str, pd.DataFrame], args: argparse.Namespace) -> None:
    from captum_pcim.profiles import write_table

    folder = args.out or args.results / "profiles"
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        for kind in dict.fromkeys(args.format):
            if kind != "h5ad" or name == "wells":
                write_table(table, folder / f"{name}{SUFFIXES[kind]}")
    layout = tables["layout"]
    flagged = layout[layout["Flagged"]]
    tested = int(layout["P"].notna().sum())
    print(
        f"{len(tables['wells'])} wells, {len(tables['treatments'])} means of treatments: {folder}"
    )
    print(f"layout: {len(flagged)} of {tested} tests flagged, {len(layout) - tested} not testable")
    worst = flagged.loc[flagged["Z"].abs().sort_values(ascending=False).index].head(10)
    for row in worst.itertuples(index=False):
        print(f"  {row[0]}: {row.Feature} follows {row.Factor.lower()}, r = {row.Correlation:.2f}")
