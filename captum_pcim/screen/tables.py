"""The tables of a screen: one row per image, per object, and per cell explained by itself."""

from __future__ import annotations

import csv
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from captum_pcim._extras import needed
from captum_pcim._files import escaped
from captum_pcim.cells.cell import CellResult, attribution_names
from captum_pcim.cells.objects import column_names
from captum_pcim.classifiers.tables import class_columns
from captum_pcim.explainer import DIAGNOSTICS
from captum_pcim.images.intensities import window_columns
from captum_pcim.images.windows import Window
from captum_pcim.screen.config import ScreenConfig
from captum_pcim.screen.identity import Key, ScreenPlan
from captum_pcim.screen.results import CELLS, OBJECTS, map_names
from captum_pcim.screen.settings import TableFormat
from captum_pcim.screen.store import Store, intact

PLACE = (
    "Metadata_Plate",
    "Metadata_Well",
    "Metadata_Site",
    "Metadata_Z",
    "Metadata_T",
    "ImageNumber",
)
METADATA = "Metadata_"  # what texts about a place begin with, a load file's own among them
WINDOW_COLUMNS = ("Metadata_Plate", "Stain", "Low", "High", "Mean", "SD")
WHOLE_NUMBERS = ("ImageNumber", "ObjectNumber", "Height", "Width")
ABOUT = ("Status", "Reason", "Notes", "Result", "Class", "Predicted", "Scale")
ROWS_AT_ONCE = 50_000

Row = dict[str, Any]


def write_tables(config: ScreenConfig, plan: ScreenPlan, store: Store) -> list[Row]:
    """Writes ``images``, ``objects``, ``cells`` and ``windows``, each complete or not at all.

    Of the first three, what an earlier configuration wrote and this one does not goes: whoever
    reads the folder would take it for a table of the same run.

    Args:
        config: The screen.
        plan: Its keys. Only their results are used, so results of other configurations in the
            same folder never mix in.
        store: The results.

    Returns:
        The rows of the image table, by column name.
    """
    images = [_image_row(config, key, store) for key in plan.keys]
    columns = list(dict.fromkeys(name for row in [_blank(), *images] for name in row))
    rows = ([row.get(name) for name in columns] for row in images)
    _write(config, store, "images", {name: _kind(name, images) for name in columns}, rows)
    if config.images.labels:
        names = column_names(config.images.objects, map_names(config))
        place = place_columns(plan)
        kinds = {name: _kind(name) for name in (*place, *names)}
        _write(config, store, "objects", kinds, _object_rows(plan, store, place))
    if config.cells.size:
        _write_cells(config, plan, store)
    if config.windows.measured(config.images.stains):
        with store.replacing("windows.csv") as path:
            _write_csv(path, dict.fromkeys(WINDOW_COLUMNS, str), _window_rows(config, images))
    _remove_others(config, store)
    return images


def _remove_others(config: ScreenConfig, store: Store) -> None:
    own = {"images": True, "objects": bool(config.images.labels), "cells": bool(config.cells.size)}
    for name, form in itertools.product(own, get_args(TableFormat)):
        path = store.path / f"{name}.{form}"
        if path.exists() and not (own[name] and form == config.output.table):
            store.remove(path)


def _blank() -> Row:
    return dict.fromkeys((*PLACE, *ABOUT, *DIAGNOSTICS))


def _kind(name: str, rows: Iterable[Row] = ()) -> type:
    """What a column holds: of the diagnostics, what the first image has that has any."""
    if name.startswith(METADATA) or name in ABOUT:
        return str
    if name in WHOLE_NUMBERS:
        return int
    return next((type(row[name]) for row in rows if row.get(name) is not None), float)


def place_of(key: Key) -> Row:
    """Where an image lies, and what its load file says beside that."""
    field = key.field
    names = (field.plate, field.well, field.site, field.plane, field.time)
    place = (*map(escaped, names), key.number)  # a folder's name need not be UTF-8
    return {**dict(zip(PLACE, place, strict=True)), **dict(field.metadata)}


def place_columns(plan: ScreenPlan) -> list[str]:
    """The columns of :func:`place_of` over all images of a screen."""
    return list(dict.fromkeys(name for key in plan.keys for name in place_of(key))) or list(PLACE)


def _image_row(config: ScreenConfig, key: Key, store: Store) -> Row:
    row = place_of(key)
    if not store.done(key.sha):
        failure = store.failure(key.sha)
        return {
            **row,
            "Status": "failed" if failure else "missing",
            "Reason": escaped(failure["reason"]) if failure else "",
        }
    manifest = store.manifest(key.sha)
    classes = class_columns(config.model.classes, **manifest["classes"])
    return {
        **row,
        "Status": "done",
        "Reason": "",
        "Notes": _notes(config, key, manifest["notes"]),
        "Result": os.path.relpath(store.folder(key.sha), store.path),
        "Class": classes.pop("target"),
        "Predicted": classes.pop("predicted"),
        **(dict.fromkeys(DIAGNOSTICS) | manifest["diagnostics"]),
        **classes,
        **dict(zip(("Height", "Width"), manifest["shape"], strict=True)),
        **({f"Count_{config.images.objects}": manifest["cells"]} if "cells" in manifest else {}),
        **_of_stains(config, manifest),
    }


def _window_rows(config: ScreenConfig, images: Sequence[Row]) -> Iterator[list[Any]]:
    """The windows that were measured of each plate and stain, as ``windows.table`` reads them.

    Where they are given in a table, a plate that grows is not measured anew.
    """
    stains = config.images.stains
    clipped = [window.clip for window in config.windows.templates(stains)]
    told: set[tuple[str, str]] = set()
    for row in images:
        for stain, clip in zip(stains, clipped, strict=True):
            place = (row["Metadata_Plate"], stain)
            if place in told or row["Status"] != "done":
                continue
            told.add(place)
            low, high = row[f"Window_Low_{stain}"], row[f"Window_High_{stain}"]
            yield [*place, *((low, high, "", "") if clip else ("", "", low, high - low))]


def _of_stains(config: ScreenConfig, manifest: dict[str, Any]) -> Row:
    """What was done to the stains' intensities, and what the stains weigh where that is known."""
    stains = config.images.stains
    windows = [Window(low, high, clip=clip) for low, high, clip in manifest["windows"]]
    row = {"Scale": config.windows.told(stains), **window_columns(stains, windows)}
    weights = manifest["stain_weights"]
    named = zip(stains, weights, strict=True) if weights else ()
    return row | {f"Stain_Weight_{stain}": weight for stain, weight in named}


def _notes(config: ScreenConfig, key: Key, notes: str) -> str:
    unlabelled = bool(config.images.labels) and not key.field.labels
    return "; ".join(filter(None, ["no label image" if unlabelled else "", notes]))


def _object_rows(plan: ScreenPlan, store: Store, place: Sequence[str]) -> Iterator[list[Any]]:
    for key in plan.keys:
        path = store.folder(key.sha) / OBJECTS
        if store.done(key.sha) and path.is_file():
            with intact(path):
                found = np.load(path, allow_pickle=False).tolist()
            for measured in found:
                here = place_of(key)
                yield [*(here.get(name) for name in place), int(measured[0]), *measured[1:]]


def _write_cells(config: ScreenConfig, plan: ScreenPlan, store: Store) -> None:
    """The table of cells; its columns are those of the first that was explained."""
    rows = _cell_rows(config, plan, store)
    first = next((row for row in rows if row["Status"] == "done"), {})
    blank = CellResult(0, 0.0, 0.0, 0).row(config.images.objects)
    measured = attribution_names(config.images.objects, map_names(config))
    columns = list(dict.fromkeys((*place_columns(plan), *blank, *first, *measured)))
    cells = _cell_rows(config, plan, store)
    write_rows(config, store, "cells", columns, {**blank, **first}, cells)


def write_rows(
    config: ScreenConfig,
    store: Store,
    name: str,
    columns: Sequence[str],
    example: Row,
    rows: Iterable[Row],
) -> None:
    """Writes a table of rows by column name, complete under its name or not at all.

    Args:
        config: The screen.
        store: The results.
        name: The table's.
        columns: Its columns.
        example: A row that shows what they hold.
        rows: The rows; what one lacks is left empty.
    """
    kinds = {column: _kind(column, [example]) for column in columns}
    values = ([row.get(column) for column in columns] for row in rows)
    _write(config, store, name, kinds, values)


def _cell_rows(config: ScreenConfig, plan: ScreenPlan, store: Store) -> Iterator[Row]:
    images = config.images
    named = (images.objects, images.stains, map_names(config), config.model.classes)
    for key in plan.keys:
        path = store.folder(key.sha) / CELLS
        if store.done(key.sha) and path.is_file():
            with intact(path):
                cells = json.loads(path.read_text(encoding="utf-8"))
            for cell in cells:
                yield {**place_of(key), **CellResult(**cell).row(*named)}


def _write(
    config: ScreenConfig,
    store: Store,
    name: str,
    kinds: dict[str, type],
    rows: Iterable[Sequence[Any]],
) -> None:
    """Writes a table of the columns that `kinds` names, in its order."""
    write = {"csv": _write_csv, "parquet": _write_parquet}[config.output.table]
    with store.replacing(f"{name}.{config.output.table}") as path:
        write(path, kinds, rows)


def read_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    """Reads the rows of a table, CSV, whose values are texts, or Parquet by its name."""
    if path.suffix == ".parquet":
        with _pyarrow("pyarrow.parquet").ParquetFile(path) as table:
            for batch in table.iter_batches():
                yield from batch.to_pylist()
        return
    with open(path, newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def _pyarrow(module: str) -> Any:
    return needed(module, "Parquet tables, without which output.table is 'csv', need", "table")


def _write_csv(path: Path, kinds: dict[str, type], rows: Iterable[Sequence[Any]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(kinds)
        writer.writerows(rows)


def _write_parquet(path: Path, kinds: dict[str, type], rows: Iterable[Sequence[Any]]) -> None:
    pyarrow, parquet = _pyarrow("pyarrow"), _pyarrow("pyarrow.parquet")
    arrow = {
        str: pyarrow.string(),
        bool: pyarrow.bool_(),
        int: pyarrow.int64(),
        float: pyarrow.float64(),
    }
    schema = pyarrow.schema([(name, arrow[kind]) for name, kind in kinds.items()])
    rows = iter(rows)
    with parquet.ParquetWriter(path, schema) as writer:
        while some := list(itertools.islice(rows, ROWS_AT_ONCE)):
            columns = zip(*some, strict=True)
            arrays = [pyarrow.array(c, kind) for c, kind in zip(columns, schema.types, strict=True)]
            writer.write_table(pyarrow.table(arrays, schema=schema))
