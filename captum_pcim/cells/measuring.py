r"""Maps measured on objects and their parts, however the maps were made, without the network.

With the weights w of a map and the pixels R of a region, its share of the map is
:math:`\sum_R w / \sum w`, and its enrichment is that share over the region's share of the area: 1
where the map takes no notice of the region. The share of the map on the cell of interest is the
question of Grad-CAMO (arXiv 2403.17615). `FracAtD` and `MeanFrac` are CellProfiler's names for the
same two numbers of radial bins within an object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from captum_pcim.cells.cell import attribution_names
from captum_pcim.cells.crops import cell_places, check_fields
from captum_pcim.cells.objects import Numbers, ObjectSums
from captum_pcim.cells.regions import Region, compartments, radial_bins
from captum_pcim.core.checks import check_count, check_distinct, check_positive
from captum_pcim.images.labels import Labels
from captum_pcim.images.read import FloatPixels

Row = dict[str, Any]


@dataclass(frozen=True)
class Measures:
    """What is measured of every object, and what it is called.

    Args:
        objects: What the objects are called.
        planes: Names of the map's planes; an empty one for a map that all stains share.
        ring: Width of a ring in pixels, see :func:`captum_pcim.cells.regions.compartments`.
        bins: Radial bins; 0 for none.
    """

    objects: str = "Cells"
    planes: Sequence[str] = ("",)
    ring: int = 0
    bins: int = 4

    def __post_init__(self) -> None:
        """Checks the names and the numbers."""
        check_distinct("stains", self.planes)
        check_positive("ring", self.ring, least=0)
        check_positive("bins", self.bins, least=0)


def measure(
    attributions: Tensor,
    labels: Tensor,
    nuclei: Tensor | None = None,
    *,
    objects: str = "Cells",
    stains: Sequence[str] = (),
    ring: int = 0,
    bins: int = 4,
) -> list[Row]:
    """Measure maps on objects, their compartments and radial bins; no network is run.

    Args:
        attributions: Maps of shape (N, C, H, W), not negative.
        labels: Object numbers of shape (N, H, W), 0 where there is none.
        nuclei: Numbers of nuclei of shape (N, H, W): what of an object they cover is its nucleus,
            the rest its cytoplasm. None: objects are not divided.
        objects: What the objects are called in the table, not as one of their parts.
        stains: Names of the stains. Empty: their numbers from 0. Where all stains have the same
            weights, the columns name none.
        ring: Width in pixels of a ring: with nuclei about these, within the cytoplasm; without
            about the objects, outside all of them. 0: none.
        bins: Radial bins, from the object's centre to its edge. 0: none.

    Returns:
        list of dict: A row an object, by CellProfiler's names. For the objects and each of
        `Nuclei`, `Cytoplasm` and `Ring`, `X_AreaShape_Area` and `X_Attribution_` with `Mean`,
        `Sum`, `Max`, `Share` of the map of its image and `Enrichment` over the area; for what lies
        within the objects `ShareOfCells` and `EnrichmentOverCells`, the same relative to the
        object; `StainShare`, a stain's share of the object's weights; `FracAtD` and `MeanFrac` of
        the radial bins. Shares of nothing are NaN, but `Share` of an empty map is 0.

    Raises:
        TypeError: If maps are not floating point, or labels not whole numbers.
        ValueError: If shapes do not fit, a weight or a number is negative, two stains have one
            name, or the objects that of a part.

    Examples:
        >>> rows = measure(attributions, cells, nuclei, stains=["DNA", "ER"], ring=3)
        >>> rows[0]["Nuclei_Attribution_EnrichmentOverCells"]
        1.8
    """
    if isinstance(attributions, Tensor) and attributions.dtype in (torch.float16, torch.bfloat16):
        attributions = attributions.float()
    fields = check_fields(attributions, labels, name="attributions")
    if bool((attributions < 0).any()):
        raise ValueError(
            f"attributions: expected weights from 0, got {float(attributions.min()):g}; of signed "
            "maps pass attributions.clamp(min=0)"
        )
    others = [None] * len(fields) if nuclei is None else [
        numbers for _, numbers in check_fields(attributions, nuclei, "attributions", "nuclei")
    ]  # fmt: skip
    n_stains = attributions.shape[1]
    names = list(stains) or [str(i) for i in range(n_stains)]
    check_count("stains", len(names), n_stains, what="names, one per stain")
    shared = bool((attributions == attributions[:, :1]).all())
    measures = Measures(objects, [""] if shared else names, ring, bins)
    return [
        {"ImageNumber": number, **row}
        for number, ((maps, cells), inner) in enumerate(zip(fields, others, strict=True), 1)
        for row in measure_field(maps[: len(measures.planes)], cells, inner, measures)
    ]


def measure_field(
    maps: FloatPixels, labels: Labels, nuclei: Labels | None, measures: Measures
) -> list[Row]:
    """Measure one map.

    Args:
        maps: Weights, one plane for each of `measures.planes`, (planes, H, W).
        labels: Object numbers, (H, W).
        nuclei: Numbers of nuclei, (H, W), or None.
        measures: What is measured.

    Returns:
        A row an object, as of :func:`measure`.

    Raises:
        ValueError: If the objects are called as one of their parts is.
    """
    weights: Numbers = maps.astype(np.float64)
    places = cell_places(labels, size=1)
    numbers = np.array([place.number for place in places], dtype=np.int64)
    name, regions = measures.objects, compartments(labels, nuclei, measures.ring)
    check_distinct("objects", [name, *(region.name for region in regions)])
    whole = ObjectSums.of(weights, labels, numbers)
    tables = [_of_map(name, measures.planes, whole, weights), _by_stain(measures, whole)]
    for region in regions:
        part = ObjectSums.of(weights, region.labels, numbers)
        tables.append({f"{region.name}_AreaShape_Area": part.area.astype(np.float64)})
        tables.append(_of_map(region.name, measures.planes, part, weights))
        tables.append(_of_object(region, measures, part, whole))
    tables.append(_radial(measures, weights, labels, numbers, whole))
    columns = {key: column for table in tables for key, column in table.items()}
    return [
        {
            "ObjectNumber": place.number,
            f"{name}_Location_Center_X": place.x,
            f"{name}_Location_Center_Y": place.y,
            f"{name}_AreaShape_Area": place.area,
            **{key: column[i].item() for key, column in columns.items()},
        }
        for i, place in enumerate(places)
    ]


def _of_map(
    name: str, planes: Sequence[str], sums: ObjectSums, weights: Numbers
) -> dict[str, Numbers]:
    whole = weights.sum(axis=(1, 2))[:, None]
    share = np.where(whole > 0, _over(sums.total, whole), 0)
    enrichment = _over(_over(sums.total, whole), sums.area / weights[0].size)
    values = (_over(sums.total, sums.area), sums.total, share, sums.largest, enrichment)
    each = [value[i] for i in range(len(planes)) for value in values]
    return dict(zip(attribution_names(name, planes), each, strict=True))


def _by_stain(measures: Measures, sums: ObjectSums) -> dict[str, Numbers]:
    if len(measures.planes) == 1:
        return {}
    shares = _over(sums.total, sums.total.sum(axis=0))
    names = [f"{measures.objects}_Attribution_StainShare_{plane}" for plane in measures.planes]
    return dict(zip(names, shares, strict=True))


def _of_object(
    region: Region, measures: Measures, part: ObjectSums, whole: ObjectSums
) -> dict[str, Numbers]:
    if not region.within:
        return {}
    share = _over(part.total, whole.total)
    columns = {
        f"ShareOf{measures.objects}": share,
        f"EnrichmentOver{measures.objects}": _over(share, part.area / whole.area),
    }
    return _named(region.name, measures.planes, columns)


def _radial(
    measures: Measures,
    weights: Numbers,
    labels: Labels,
    numbers: npt.NDArray[np.int64],
    whole: ObjectSums,
) -> dict[str, Numbers]:
    bins = radial_bins(labels, measures.bins) if measures.bins else labels
    found: dict[str, Numbers] = {}
    for i in range(measures.bins):
        part = ObjectSums.of(weights, np.where(bins == i, labels, 0), numbers)
        share = _over(part.total, whole.total)
        columns = {"FracAtD": share, "MeanFrac": _over(share, part.area / whole.area)}
        end = f"{i + 1}of{measures.bins}"
        found |= _named(measures.objects, measures.planes, columns, end)
    return found


def _named(
    name: str, planes: Sequence[str], columns: dict[str, Numbers], end: str = ""
) -> dict[str, Numbers]:
    """Columns (planes, K) by their names: object, measure, stain, bin."""
    return {
        "_".join(filter(None, [name, "Attribution", key, plane, end])): values[i]
        for i, plane in enumerate(planes)
        for key, values in columns.items()
    }


def _over(part: Numbers, whole: Any) -> Numbers:
    """A quotient that is NaN where there is nothing to be a part of."""
    with np.errstate(invalid="ignore", divide="ignore"):
        quotient = part / np.where(np.asarray(whole) > 0, whole, np.nan)
    return np.asarray(quotient, dtype=np.float64)
