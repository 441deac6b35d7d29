"""What a plate's page knows of its images: numbers, words, pictures and the strongest objects."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any

from captum_pcim.explainer import DIAGNOSTICS
from captum_pcim.images.wells import PLATE_FORMATS, row_and_column, row_letters
from captum_pcim.screen.config import ScreenConfig
from captum_pcim.screen.page_profile import Profiles
from captum_pcim.screen.previews import stain_colours
from captum_pcim.screen.results import IMAGE, MAP, OUTLINES, STAINS
from captum_pcim.screen.store import Store
from captum_pcim.screen.tables import Row, read_rows

MOST_OBJECTS = 12  # of an image; all of them stand in the table of objects
DIGITS = 4  # of numbers, for the page to stay small
STOPS = 17  # of a colour map
MEAN, SHARE = "_Attribution_Mean", "_Attribution_Share"
AXES = ("X", "Y")
HELP = {
    "full_probability": "of the class, on the image itself",
    "preserved_probability": "with only what the map keeps; near the one above: it suffices",
    "removed_probability": "with what the map keeps taken away; low: nothing else shows the class",
    "area": "mean weight over all pixels",
    "leak_ratio": "preserved over full probability; clearly above 1: the map makes evidence up",
    "n_steps": "steps until the map was finished",
    "n_forwards": "forward passes spent on the image",
    "verdict": "what the map is worth",
    "Probability_": "of this class, on the image itself",
    "Score_": "what the network returned",
    "Stain_Weight_": "how much of this stain is kept, from 0 to 1",
}

Place = tuple[str, ...]
Objects = Mapping[Place, tuple[int, Sequence[Sequence[Any]]]]


def plate_data(
    config: ScreenConfig,
    rows: Sequence[Row],
    store: Store,
    objects: Objects,
    profiles: Profiles,
) -> Row:
    """Tells all that the page of one plate shows, ready for JSON.

    Args:
        config: The screen.
        rows: Rows of the image table, of one plate.
        store: The results.
        objects: Those of :func:`strongest_objects`.
        profiles: Those of the wells.
    """
    numbers, texts = _columns(rows)
    classes = sorted({row["Class"] for row in rows if row.get("Class")})
    height, width = plate_shape(row["Metadata_Well"] for row in rows)
    return {
        "columns": [str(i + 1) for i in range(width)],
        "rows": [row_letters(i) for i in range(height)],
        "scale": _colour_map("cividis"),
        "weights": _colour_map("inferno"),
        "palette": (palette := _palette()),
        "classes": dict(zip(classes, cycle(palette), strict=False)),
        "stains": _stains(config),
        "numbers": [[name, _help(name)] for name in numbers],
        "texts": [[name, _help(name)] for name in texts],
        "profile": profiles.of_plate(rows[0]["Metadata_Plate"]),
        "images": [_image(row, numbers, texts, store, objects) for row in rows],
    }


def plate_shape(wells: Iterable[str]) -> tuple[int, int]:
    """Rows and columns of the smallest common plate that holds the wells."""
    places = [row_and_column(well) for well in wells]
    height = max((row for row, _ in places), default=0)
    width = max((column for _, column in places), default=0)
    fits = (shape for shape in PLATE_FORMATS if height < shape[0] and width < shape[1])
    return next(fits, (height + 1, width + 1))


def strongest_objects(config: ScreenConfig, store: Store) -> Objects:
    """Reads the table of cells or objects and keeps the few of the highest mean weight an image.

    Returns:
        By plate, well and field: how many objects there are, and of the strongest number, mean
        weight, share of the map, and x and y where the table tells them.
    """
    kept: dict[Place, list[tuple[float, int, list[Any]]]] = defaultdict(list)
    counts: dict[Place, int] = defaultdict(int)
    for row in _object_rows(config, store):
        image, number = _place(row), int(row["ObjectNumber"])
        mean = _mean(row, MEAN)
        if mean is None:
            continue
        counts[image] += 1
        centre = [_rounded(_number(row.get(_centre(row, axis)))) for axis in AXES]
        one = (mean, -number, [number, _rounded(mean), _rounded(_mean(row, SHARE)), *centre])
        keep = heapq.heappush if len(kept[image]) < MOST_OBJECTS else heapq.heappushpop
        keep(kept[image], one)
    return {
        image: (counts[image], [told for *_, told in sorted(found, reverse=True)])
        for image, found in kept.items()
    }


def _object_rows(config: ScreenConfig, store: Store) -> Iterator[Mapping[str, Any]]:
    name = "cells" if config.cells.size else "objects"
    path = store.path / f"{name}.{config.output.table}"
    if not config.images.labels or not path.is_file():
        return
    yield from read_rows(path)


def _place(row: Mapping[str, Any]) -> Place:
    return (row["Metadata_Plate"], row["Metadata_Well"], row["Metadata_Site"])


def _mean(row: Mapping[str, Any], measure: str) -> float | None:
    """Over the stains, of one measure of an object."""
    ends = ((name.partition(measure), value) for name, value in row.items())
    found = [_number(value) for (_, told, stain), value in ends if told and stain[:1] in ("", "_")]
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if known else None


def _centre(row: Mapping[str, Any], axis: str) -> str:
    return next((name for name in row if name.endswith(f"_Location_Center_{axis}")), "")


def _number(value: Any) -> float | None:
    if value is None or value == "":
        return None
    return float(value) if math.isfinite(float(value)) else None


def _columns(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    """Columns of numbers, whatever they mean, and of words about the map."""
    kinds: dict[str, type] = {}
    for row in rows:
        kinds.update({k: type(v) for k, v in row.items() if v is not None and k not in kinds})
    first = [name for name in kinds if name not in DIAGNOSTICS] + list(DIAGNOSTICS)
    first.sort(key=lambda name: not name.startswith(("Probability_", "Score_")))
    unwanted = ("ImageNumber", "Window_", "Height", "Width")
    numbers = [
        name for name in first if kinds.get(name) in (int, float) and not name.startswith(unwanted)
    ]
    return numbers, [name for name in DIAGNOSTICS if kinds.get(name) in (str, bool)]


def _image(
    row: Row, numbers: Sequence[str], texts: Sequence[str], store: Store, objects: Objects
) -> Row:
    count, strongest = objects.get(_place(row), (0, ()))
    told = {
        "well": row["Metadata_Well"],
        "field": row["Metadata_Site"],
        "status": row["Status"],
        "reason": row["Reason"],
        "class": row.get("Class") or "",
        "predicted": row.get("Predicted") or "",
        "notes": row.get("Notes") or "",
        "numbers": [_rounded(row.get(name)) for name in numbers],
        "texts": ["" if row.get(name) is None else str(row[name]) for name in texts],
        "folder": "../" + row["Result"] if row.get("Result") else "",
        "picture": _picture(row, store),
        "outlines": bool(_picture(row, store)) and _has(row, store, OUTLINES),
        "shape": [row["Height"], row["Width"]] if row.get("Height") else [],
        "count": count,
        "objects": strongest,
    }
    return {name: value for name, value in told.items() if value}


def _picture(row: Row, store: Store) -> str:
    """The file that shows the image beside its map; done without previews, an image has none."""
    if not row.get("Result"):
        return ""
    if not _has(row, store, MAP):
        return ""
    return next((name for name in (STAINS, IMAGE) if _has(row, store, name)), "")


def _has(row: Row, store: Store, name: str) -> bool:
    return (store.path / str(row["Result"]) / name).is_file()


def _rounded(value: Any) -> Any:
    """Few digits, and nothing for what JSON has no number for."""
    if value is None or not math.isfinite(value):
        return None
    return value if isinstance(value, int) else float(f"{value:.{DIGITS}g}")


def _help(name: str) -> str:
    prefix = name[: name.rfind("_") + 1]
    starts = (
        told for start, told in HELP.items() if start.endswith("_") and name.startswith(start)
    )
    return HELP.get(name) or HELP.get(prefix) or next(starts, "")


def _stains(config: ScreenConfig) -> list[list[str]]:
    stains = config.images.stains
    colours = stain_colours(len(stains), config.output.colours)
    return [[stain, colour] for stain, colour in zip(stains, colours, strict=True)]


def _colour_map(name: str) -> list[str]:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps[name](i / (STOPS - 1))) for i in range(STOPS)]


def _palette() -> list[str]:
    """Colours of classes and of other words, over again where there are more."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    palette, strong_first = colormaps["tab20"], (*range(0, 20, 2), *range(1, 20, 2))
    return [to_hex(palette(i)) for i in strong_first]
