"""Networks of single cells: every cell is explained in its crop and written back to its field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from captum_pcim._extras import needed
from captum_pcim.cells.cell import CellResult
from captum_pcim.cells.crops import CellPlace, Cropping, check_fields, each_crop, resized
from captum_pcim.cells.field import CellsOfField
from captum_pcim.core.channels import SharedOverStains
from captum_pcim.core.checks import check_count, check_distinct, check_positive
from captum_pcim.core.warn import warn
from captum_pcim.explainer import Explainer, Explanation
from captum_pcim.images.labels import Labels
from captum_pcim.images.read import FloatPixels
from captum_pcim.pcim import PCIM

CellField = tuple[FloatPixels, Labels]  # (C, H, W) and (H, W)
OPTIONS = ("objective", "isolation", "smoothing", "order", "autocast_dtype", "eval_mode",
           "gradients", "seed")  # fmt: skip


@dataclass(frozen=True, eq=False)
class CellExplanations:
    """What was found for the cells of several images.

    Args:
        attributions: Maps of the images, stitched from those of their cells, (N, C, H, W).
        crops: Maps of the cells, at the scale of the images, (M, C, size, size); 0 for a cell that
            failed.
        image_of: The image of each cell, (M,).
        cells: What tables tell of each cell.
        objects: What the objects are called.
        stains: Names of the stains.
        planes: Names of the map's planes; an empty one for a map that all stains share.
        classes: Names of the classes.
    """

    attributions: Tensor
    crops: Tensor
    image_of: Tensor
    cells: list[CellResult]
    objects: str
    stains: Sequence[str]
    planes: Sequence[str]
    classes: Sequence[str]

    def rows(self) -> list[dict[str, Any]]:
        """A row a cell, by column name; `ImageNumber` counts the images from 1."""
        named = (self.objects, self.stains, self.planes, self.classes)
        return [
            {"ImageNumber": image + 1, **cell.row(*named)}
            for image, cell in zip(self.image_of.tolist(), self.cells, strict=True)
        ]

    def to_dataframe(self) -> Any:
        """The rows as a pandas.DataFrame.

        Raises:
            ImportError: If pandas is not installed.
        """
        return needed("pandas", "to_dataframe needs", "pandas").DataFrame(self.rows())


def explain_cells(
    pcim: PCIM,
    images: Tensor,
    labels: Tensor,
    *,
    size: int,
    scale: int | None = None,
    mask_neighbours: bool = False,
    target: int | str | None = None,
    contrast: int | str | Sequence[int | str] = (),
    batch_size: int = 32,
    objects: str = "Cells",
    stains: Sequence[str] = (),
    classes: Sequence[str] = (),
    **arguments: Any,
) -> CellExplanations:
    """Explain every object of label images to a network that was trained on crops.

    Crops are centred on the objects, at the border of the image too; what lies beyond the image is
    filled with its background, see :mod:`captum_pcim.cells.crops`. Batches are filled across
    images. In the stitched maps an object's pixels have the weights of its own crop.

    Args:
        pcim: The explainer of the network: crops (N, C, scale, scale) to scores.
        images: Images of shape (N, C, H, W), in the network's units.
        labels: Object numbers of shape (N, H, W), 0 where there is none.
        size: Side of the crops, in pixels of the images.
        scale: Side in pixels that the network takes. None: `size`.
        mask_neighbours: Whether other objects in a crop are filled with the image's background.
        target: The class to explain, its number or its name in `classes`. None: each cell's own
            predicted class.
        contrast: Number or name, or several, of the classes to tell the target from. Empty: all
            others. A cell whose target is among them is told from all others, with a note.
        batch_size: Crops at once.
        objects: What the objects are called in the table.
        stains: Names of the stains. Empty: their numbers from 0.
        classes: Names of the classes. Empty: their numbers from 0.
        arguments: Further arguments of :meth:`captum_pcim.PCIM.attribute`, as `n_steps`.

    Returns:
        CellExplanations: Stitched maps, the cells' own maps, and a row a cell.

    Raises:
        TypeError: If images are not floating point, or labels not whole numbers.
        ValueError: If shapes do not fit, `size` is larger than the images, or a label negative.
        Exception: What the network raised, if it did so for every cell. Of cells that failed alone
            the rows tell why.

    Examples:
        >>> found = explain_cells(PCIM(model), images, labels, size=64, scale=128)
        >>> found.attributions.shape
        torch.Size([4, 3, 512, 512])
        >>> found.to_dataframe()[["ObjectNumber", "Class", "Cells_Attribution_Share"]]
    """
    cropping = Cropping(size, scale, mask_neighbours)
    check_positive("batch_size", batch_size)
    fields = check_fields(images, labels)
    names = list(stains) or [str(i) for i in range(images.shape[1])]
    check_count("stains", len(names), images.shape[1], what="names, one per stain")
    check_distinct("stains", names)
    contrast = [contrast] if isinstance(contrast, (int, str, np.integer)) else contrast
    target = target.item() if isinstance(target, np.integer) else target
    explainer = _explainer(pcim, str(images.device), target, contrast, classes, arguments)
    planes = [""] if type(pcim.isolation) is SharedOverStains else names
    parts = [CellsOfField(numbers, len(planes), size) for _, numbers in fields]
    maps = [
        parts[image].add(place, found)
        for image, place, found in each_cell(explainer, fields, cropping, batch_size)
    ]
    _tell(parts)
    whole = np.stack([part.weights for part in parts])
    own = np.stack(maps) if maps else np.zeros((0, len(planes), size, size), np.float32)
    n_stains = images.shape[1]
    return CellExplanations(
        torch.from_numpy(whole).expand(-1, n_stains, -1, -1).to(images.device),
        torch.from_numpy(own).expand(-1, n_stains, -1, -1).to(images.device),
        torch.repeat_interleave(torch.tensor([len(part.cells) for part in parts])),
        [cell for part in parts for cell in part.cells],
        objects, names, planes, classes,
    )  # fmt: skip


def each_cell(
    explainer: Explainer, fields: Iterable[CellField], cropping: Cropping, batch_size: int
) -> Iterator[tuple[int, CellPlace, Explanation | Exception]]:
    """Explain the cells of several fields, in batches that are filled across them.

    Args:
        explainer: Of the network of single cells.
        fields: Images (C, H, W) and their object numbers (H, W).
        cropping: How cells are cropped.
        batch_size: Crops at once.

    Yields:
        The number of the field, where the cell lies, and its explanation or why there is none; the
        fields in order, and the cells of each by their numbers.
    """
    crops = (
        (number, *each)
        for number, field in enumerate(fields)
        for each in each_crop(*field, cropping)
    )
    while batch := list(islice(crops, batch_size)):
        inputs = resized(np.stack([crop for *_, crop in batch]), cropping.side)
        for (number, place, _), found in zip(batch, explainer.each(list(inputs)), strict=True):
            yield number, place, found


def _explainer(
    pcim: PCIM,
    device: str,
    target: int | str | None,
    contrast: Sequence[int | str],
    classes: Sequence[str],
    arguments: dict[str, Any],
) -> Explainer:
    if not isinstance(pcim, PCIM):
        raise TypeError(f"pcim: expected a PCIM, got {type(pcim).__name__}; pass PCIM(model)")
    refused = sorted({"baselines", "internal_batch_size", "return_diagnostics"} & arguments.keys())
    if refused:
        raise TypeError(
            f"{refused[0]}: explain_cells takes no such argument; what cells are blended against "
            "are the references of the PCIM, batch_size is how many are explained at once, and "
            "diagnostics are in the table"
        )
    if not isinstance(target, (int, str, type(None))):
        raise TypeError(
            "target: expected one class for all cells, its number or its name, got "
            f"{type(target).__name__}"
        )
    options = {name: getattr(pcim, name) for name in OPTIONS}
    options["references"] = None if pcim.replaceable else pcim.references
    return Explainer(
        pcim.forward_func,
        score=pcim.score,
        target=target,
        contrast=contrast,
        device=device,
        classes=classes,
        options=options,
        arguments=arguments,
    )


def _tell(parts: Sequence[CellsOfField]) -> None:
    """Warn of images without cells and of cells without an explanation; raise if all failed."""
    failures = [failure for part in parts for failure in part.failures]
    count = sum(len(part.cells) for part in parts)
    if failures and len(failures) == count:
        raise failures[0]
    empty = [image for image, part in enumerate(parts) if not part.cells]
    if empty:
        warn("labels: no object in {images}, whose maps are 0", empty, "labels: no object")
    if failures:
        warn(f"pcim: {len(failures)} of {count} cells failed, first: {failures[0]}")
