"""Fields of a network of single cells: all cells of a batch of fields, and what each field is told.

Tables and pages of a screen have a row a field. Of a field of cells it tells the commonest class,
mean scores, probabilities and stain weights, and typical diagnostics; the map is stitched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from captum_pcim.cells.cell import CellResult
from captum_pcim.cells.crops import Cropping
from captum_pcim.cells.explain import each_cell
from captum_pcim.cells.field import CellsOfField
from captum_pcim.classifiers.tables import NO_CLASS
from captum_pcim.explainer import Explainer, Explanation
from captum_pcim.images.labels import Labels
from captum_pcim.images.stack import ImageError
from captum_pcim.screen.config import ScreenConfig
from captum_pcim.screen.reading import FieldImage

MOST_NOTES = 5
NO_CELLS = "labels: no object"

CellsFound = tuple[Explanation, list[CellResult]]


def explain_fields(
    samples: Sequence[FieldImage], explainer: Explainer, config: ScreenConfig
) -> Iterator[CellsFound | Exception]:
    """Explain the cells of several fields, in batches that are filled across them.

    Args:
        samples: The fields.
        explainer: Of the network of single cells.
        config: The screen.

    Yields:
        For each field, in order, what it is told and its cells, or why there is nothing. A field
        fails where it has no label image or is smaller than a crop, and where all its cells fail.
    """
    shared = config.attribution.isolation == "shared"
    problems = [_problem(sample, config.cells.size) for sample in samples]
    size = config.cells.size
    found = [
        CellsOfField(_labels(sample), 1 if shared else len(sample.inputs), size)
        for sample in samples
    ]
    good = [i for i, problem in enumerate(problems) if problem is None]
    fields = [(samples[i].inputs, found[i].labels) for i in good]
    cropping = Cropping(size, config.cells.scale or None, config.cells.mask_neighbours)
    for number, place, one in each_cell(explainer, fields, cropping, config.run.batch_size):
        found[good[number]].add(place, one)
    for sample, problem, own in zip(samples, problems, found, strict=True):
        if problem is not None:
            yield problem
        elif own.failures and len(own.failures) == len(own.cells):
            yield own.failures[0]
        else:
            yield _told(own, np.broadcast_to(own.weights, sample.inputs.shape)), own.cells


def _problem(sample: FieldImage, size: int) -> ImageError | None:
    shorter = min(sample.inputs.shape[1:])
    if sample.labels is None:
        return ImageError("no label image to find cells by")
    if size > shorter:
        return ImageError(f"cells.size: expected at most the image's {shorter} pixels, got {size}")
    return None


def _labels(sample: FieldImage) -> Labels:
    empty = np.zeros(sample.inputs.shape[1:], dtype=np.int64)
    return empty if sample.labels is None else sample.labels


def _told(own: CellsOfField, attributions: Any) -> Explanation:
    done = [cell for cell in own.cells if not cell.reason]
    if not done:
        return Explanation(attributions, NO_CLASS, NO_CLASS, [], [], {}, NO_CELLS)
    classes = [cell.classes for cell in done]
    return Explanation(
        attributions,
        target=_typical([each["target"] for each in classes], whole=True),
        predicted=_typical([each["predicted"] for each in classes], whole=True),
        probabilities=_means([each["probabilities"] for each in classes]),
        scores=_means([each["scores"] for each in classes]),
        diagnostics={
            name: _typical([cell.diagnostics[name] for cell in done])
            for name in done[0].diagnostics
        },
        notes=_notes(own.cells),
        stain_weights=_means([cell.stain_weights for cell in done]),
    )


def _typical(values: Sequence[Any], whole: bool = False) -> Any:
    """The mean of numbers, the commonest of anything else, and of equals the least."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    if isinstance(known[0], float) and not whole:
        return fmean(known)
    return max(sorted(set(known)), key=known.count)


def _means(values: Sequence[Sequence[float]]) -> list[float]:
    return [fmean(each) for each in zip(*values, strict=True)]


def _notes(cells: Sequence[CellResult]) -> str:
    """The commonest notes, each with the number of its cells unless it is of all."""
    failed = [cell.reason for cell in cells if cell.reason]
    told = [f"cells: {len(failed)} of {len(cells)} failed, first: {failed[0]}"] if failed else []
    counts = Counter(note for cell in cells for note in cell.notes.split("; ") if note)
    for note, count in counts.most_common(MOST_NOTES):
        told.append(note if count == len(cells) else f"{note} ({count} of {len(cells)} cells)")
    return "; ".join(told)
