"""The stored maps of a screen measured on label images, its own or others, without its network."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np

from captum_pcim._errors import describe
from captum_pcim.cells.measuring import Measures, measure_field
from captum_pcim.images.read import FloatPixels
from captum_pcim.images.stack import ImageError
from captum_pcim.screen.config import ConfigError, ScreenConfig
from captum_pcim.screen.identity import Key, make_plan
from captum_pcim.screen.maps import stored_map
from captum_pcim.screen.planes import read_object_numbers
from captum_pcim.screen.plate import Field
from captum_pcim.screen.results import map_names
from captum_pcim.screen.sources import survey, survey_screen
from captum_pcim.screen.store import FULL_MAP, Store
from captum_pcim.screen.tables import Row, place_columns, place_of, write_rows

Place = tuple[str, ...]
LabelFiles = Mapping[Place, str]


@dataclasses.dataclass(frozen=True)
class Measured:
    """How measuring ended.

    Args:
        table: The name of the table in the results folder.
        objects: Rows that were written.
        failures: Why images were not measured.
    """

    table: str
    objects: int
    failures: dict[Key, str]


def measure_screen(
    config: ScreenConfig,
    labels: str = "",
    nuclei: str = "",
    name: str = "measured",
    objects: str = "",
    ring: int = 0,
    bins: int = 4,
) -> Measured:
    """Measure the full maps that a screen has stored; see :func:`captum_pcim.measure`.

    Masks may come after the maps, so other label images than those of the screen do no harm to its
    results: these are found by the configuration as it was run.

    Args:
        config: The screen, with `output.maps`.
        labels: Label images of objects, as `images.labels` names them. Empty: that itself.
        nuclei: Label images of nuclei, likewise. Empty: objects are not divided.
        name: What the table is called in the results folder.
        objects: What the objects are called. Empty: as in `images.objects`.
        ring: As in :func:`captum_pcim.measure`.
        bins: As in :func:`captum_pcim.measure`.

    Returns:
        Measured: What was written, and what could not be measured.

    Raises:
        ConfigError: If the screen keeps no maps, or there are no label images.
        StoreError: If the results folder cannot be written.
    """
    if not config.output.maps:
        raise ConfigError("output.maps: expected true, as stored maps are measured, got False")
    measures = Measures(objects or config.images.objects, map_names(config), ring, bins)
    plan = make_plan(config, survey_screen(config).fields, (0, 1))
    found = {
        kind: _label_files(config, pattern, kind)
        for kind, pattern in {"labels": labels or config.images.labels, "nuclei": nuclei}.items()
        if pattern or kind == "labels"
    }
    store = Store(config.output.path)
    failures: dict[Key, str] = {}
    count = 0

    def each_row() -> Iterator[Row]:
        nonlocal count
        for key in plan.keys:
            try:
                rows = _measure(key, store, found, measures)
            except (ImageError, OSError) as error:
                failures[key] = describe(error)
                continue
            count += len(rows)
            yield from ({**place_of(key), **row} for row in rows)

    rows = each_row()
    first = next(rows, {})
    columns = list(dict.fromkeys((*place_columns(plan), "ObjectNumber", *first)))
    whole = chain([first] if first else [], rows)
    write_rows(config, store, name, columns, first, whole)
    return Measured(f"{name}.{config.output.table}", count, failures)


def read_map(store: Store, sha: str, planes: int) -> FloatPixels:
    """The full map of a finished image, (planes, H, W).

    Raises:
        ImageError: If there is none.
    """
    folder = store.folder(sha) / FULL_MAP
    if not store.done(sha, (FULL_MAP,)):
        raise ImageError("no stored map: the image is not done, or was without output.maps")
    weights = stored_map(folder).weights
    return np.asarray(np.broadcast_to(weights, (planes, *weights.shape[1:])))


def _measure(
    key: Key, store: Store, files: Mapping[str, LabelFiles], measures: Measures
) -> list[Row]:
    weights = read_map(store, key.sha, len(measures.planes))
    numbers: dict[str, Any] = {}
    for kind, known in files.items():
        path = known.get(_place(key.field), "")
        if not path:
            raise ImageError(f"{kind}: no label image")
        field = dataclasses.replace(key.field, labels=path)
        numbers[kind] = read_object_numbers(field, weights.shape[1:])
    return measure_field(weights, numbers["labels"], numbers.get("nuclei"), measures)


def _label_files(config: ScreenConfig, pattern: str, kind: str) -> LabelFiles:
    if not pattern:
        raise ConfigError("labels: expected label images, as images.labels names none, got none")
    images = dataclasses.replace(config.images, labels=pattern)
    found = survey(images, config.output.path).fields
    files = {_place(field): field.labels for field in found if field.labels}
    if not files:
        raise ConfigError(f"{kind}: expected label images of the screen's fields, got {pattern!r}")
    return files


def _place(field: Field) -> Place:
    return (field.plate, field.well, field.site, field.plane, field.time)
