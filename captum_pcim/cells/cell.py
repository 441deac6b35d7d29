"""One cell: where it lies, what was found for it, and its row in a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from captum_pcim._errors import describe
from captum_pcim.cells.objects import MEASURES, measure_objects
from captum_pcim.classifiers.tables import class_columns
from captum_pcim.images.labels import Labels
from captum_pcim.images.read import FloatPixels

if TYPE_CHECKING:
    from captum_pcim.cells.crops import CellPlace
    from captum_pcim.explainer import Explanation

ENRICHMENT = "Enrichment"


@dataclass(frozen=True)
class CellResult:
    """What tables tell of a cell. All of it can be written as JSON.

    Args:
        number: The object's number in the label image.
        x: Its centre's column, in pixels from 0.
        y: Its centre's row.
        area: Its pixels.
        reason: Why it could not be explained; empty where it was.
        classes: Target, predicted class, scores and probabilities.
        diagnostics: Values of :data:`captum_pcim.explainer.DIAGNOSTICS`, by name.
        notes: The warnings about it.
        stain_weights: One a stain where the isolation is factorised; else empty.
        measured: Of each plane of the crop's map the mean, sum, share and maximum on the cell's own
            pixels, and the enrichment: the share of the map over the share of the area.
    """

    number: int
    x: float
    y: float
    area: int
    reason: str = ""
    classes: dict[str, Any] = field(default_factory=dict)
    diagnostics: dict[str, Any] = field(default_factory=dict)
    notes: str = ""
    stain_weights: list[float] = field(default_factory=list)
    measured: list[float] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        place: CellPlace,
        labels: Labels,
        found: Explanation | Exception,
        weights: FloatPixels | None,
    ) -> CellResult:
        """Tell of an explained cell.

        Args:
            place: Where it lies.
            labels: The field's object numbers, (H, W).
            found: Its explanation, or why there is none.
            weights: Its map at the scale of the field, (planes, size, size); None without one.
        """
        where = (place.number, place.x, place.y, place.area)
        if isinstance(found, Exception) or weights is None:
            return cls(*where, reason=describe(found) if isinstance(found, Exception) else "")
        own = place.own_pixels(labels)
        return cls(
            *where,
            classes=found.classes,
            diagnostics=found.diagnostics,
            notes="; ".join(filter(None, [_cut_off(place, int(own.sum())), found.notes])),
            stain_weights=list(found.stain_weights),
            measured=_measured(weights, own),
        )

    def row(
        self,
        objects: str,
        stains: Sequence[str] = (),
        planes: Sequence[str] = ("",),
        classes: Sequence[str] = (),
    ) -> dict[str, Any]:
        """The cell's columns, by CellProfiler's names.

        Args:
            objects: What the objects are called.
            stains: Names of the stains.
            planes: Names of the map's planes; an empty one for a map that all stains share.
            classes: Names of the classes.
        """
        about = class_columns(classes, **self.classes) if self.classes else {}
        weights = zip(stains, self.stain_weights, strict=True) if self.stain_weights else ()
        return {
            "ObjectNumber": self.number,
            "Status": "failed" if self.reason else "done",
            "Reason": self.reason,
            "Notes": self.notes,
            "Class": about.pop("target", ""),
            "Predicted": about.pop("predicted", ""),
            f"{objects}_Location_Center_X": self.x,
            f"{objects}_Location_Center_Y": self.y,
            f"{objects}_AreaShape_Area": self.area,
            **self.diagnostics,
            **about,
            **{f"Stain_Weight_{stain}": weight for stain, weight in weights},
            **dict(zip(attribution_names(objects, planes), self.measured, strict=False)),
        }


def attribution_names(objects: str, planes: Sequence[str]) -> list[str]:
    """Name what is measured on a cell's map as CellProfiler would, plane by plane."""
    measures = (*MEASURES, ENRICHMENT)
    names = [f"{name}_{plane}" if plane else name for plane in planes for name in measures]
    return [f"{objects}_Attribution_{name}" for name in names]


def _measured(weights: FloatPixels, own: Any) -> list[float]:
    """The measures of each plane; empty where none of the cell's pixels lie within its crop."""
    measured = measure_objects(weights, own.astype(np.int64))[:, 1:]
    if not len(measured):
        return []
    area = float(own.mean())
    values = measured[0].reshape(len(weights), len(MEASURES))
    share = values[:, MEASURES.index("Share")]
    return [float(v) for row, s in zip(values, share, strict=True) for v in (*row, s / area)]


def _cut_off(place: CellPlace, within: int) -> str:
    beyond = 1 - within / place.area
    return f"size: {beyond:.0%} of the object lies beyond its crop" if beyond > 0 else ""
