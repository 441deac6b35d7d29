"""What is written for one image."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from captum_pcim._version import __version__
from captum_pcim.cells.cell import CellResult
from captum_pcim.cells.objects import locate_objects, measure_objects
from captum_pcim.explainer import Explanation
from captum_pcim.screen.config import ScreenConfig
from captum_pcim.screen.identity import Key
from captum_pcim.screen.previews import (
    image_preview,
    map_preview,
    outlines_preview,
    stains_preview,
)
from captum_pcim.screen.reading import FieldImage
from captum_pcim.screen.store import FULL_MAP, Store

OBJECTS, CELLS = "objects.npy", "cells.json"
IMAGE, STAINS, MAP, OUTLINES = "image.png", "stains.png", "map.png", "outlines.png"


def map_names(config: ScreenConfig) -> list[str]:
    """What the planes of a map are called: the stains, or nothing for one that they share."""
    shared = config.attribution.isolation == "shared"
    return [""] if shared else list(config.images.stains)


def write_result(
    store: Store,
    key: Key,
    sample: FieldImage,
    explanation: Explanation,
    cells: Sequence[CellResult] | None,
    config: ScreenConfig,
) -> None:
    """Publishes an image's manifest, objects, cells, previews and full map, all or none.

    Raises:
        StoreError: The results folder cannot be written.
    """
    manifest: dict[str, Any] = {
        "version": __version__,
        "configuration": config.digest(),
        "field": asdict(key.field),
        "classes": explanation.classes,
        "shape": list(sample.inputs.shape[1:]),
        "windows": [
            [float(window.low), float(window.high), window.clip] for window in sample.windows
        ],
        "stain_weights": list(explanation.stain_weights),
        "diagnostics": explanation.diagnostics,
        "notes": explanation.notes,
    }
    if cells is not None:
        manifest["cells"] = len(cells)
    with store.publish(key.sha, manifest) as folder:
        if sample.labels is not None:
            weights = explanation.attributions[: len(map_names(config))]
            measured = measure_objects(weights, sample.labels)
            whole = np.insert(measured, [1], locate_objects(sample.labels), axis=1)
            np.save(folder / OBJECTS, whole)
        if cells is not None:
            (folder / CELLS).write_text(json.dumps([asdict(cell) for cell in cells]))
        if config.output.previews:
            (folder / IMAGE).write_bytes(image_preview(sample.inputs, config.output.colours))
            (folder / STAINS).write_bytes(stains_preview(sample.inputs))
            (folder / MAP).write_bytes(map_preview(explanation.attributions))
            if sample.labels is not None:
                (folder / OUTLINES).write_bytes(outlines_preview(sample.labels))
        if config.output.maps:
            from captum_pcim.screen.maps import write_map

            write_map(folder / FULL_MAP, explanation.attributions, key.field, config.images.stains)
