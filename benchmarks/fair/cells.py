"""What is compared on: sets and networks, with all that the instruments need, kept on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.sets.classifiers import ARCHITECTURES, OUT, classifier
from benchmarks.sets.explained import NAMES, load
from benchmarks.sets.real_data import Part
from captum_pcim.core.references import Background
from captum_pcim.metrics import EquallyConfident, ImageGrids, image_grids

FOLDER = OUT / "fair"

# Sets of a family take the forms that were best on the tuning parts of the family.
FAMILIES = {
    "synthetic fluorescence": "fluorescence",
    "bbbc010 fluorescence": "fluorescence",
    "organoids": "fluorescence",
    "synthetic bright field": "bright field",
    "bbbc010 bright field": "bright field",
    "bccd": "bright field",
    "xai_tris": "noise",
}


@dataclass(frozen=True)
class Cell:
    """One set and one network.

    Attributes:
        name: Of the set.
        architecture: Of the network.
        model: The network.
        second_model: One of the other architecture, trained on the same images.
        inputs: Images (N, C, H, W) that the network is right about.
        target: Their classes (N,).
        masks: Where the evidence can be (N, 1, H, W).
        others: Three images of other classes for each, (N, 3, C, H, W).
    """

    name: str
    architecture: str
    model: nn.Module
    second_model: nn.Module
    inputs: Tensor
    target: Tensor
    masks: Tensor
    others: Tensor

    @property
    def title(self) -> str:
        return f"{self.name}, {self.architecture}"

    @property
    def background(self) -> Tensor:
        return Background()(self.inputs)[0]

    @property
    def grids(self) -> ImageGrids:
        """2 x 2 grids of every other image: they cost four times as much as an image."""
        return image_grids(self.inputs[::2], self.target[::2], self.others[::2])

    @property
    def randomised(self) -> nn.Module:
        """The network with weights drawn anew, as sure as the trained one."""
        return EquallyConfident(self.model, self.inputs, self.background)

    @property
    @torch.no_grad()
    def wrong_target(self) -> Tensor:
        """Another phenotype where there are several, else the other class."""
        n_classes = self.model(self.inputs[:1]).shape[1]
        return 1 - self.target if n_classes == 2 else self.target % (n_classes - 1) + 1


def load_cell(name: str, architecture: str, part: Part, n_images: int, data: Path) -> Cell | None:
    """Load a cell; images are kept on disk, as drawing or reading the whole part takes seconds.

    Returns:
        The cell; None where the set has no such part.
    """
    path = FOLDER / part / f"{name}, {architecture}, {n_images}.pt"
    if not path.exists():
        found = load(name, architecture, part, n_images, data, "cpu")
        if found is None:
            return None
        images = found.images
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save((images.inputs, images.labels, images.masks, found.others), path)
    other = next(kind for kind in ARCHITECTURES if kind != architecture)
    networks = (classifier(name, kind, data) for kind in (architecture, other))
    return Cell(name, architecture, *networks, *torch.load(path, weights_only=True))


def cells(
    names: list[str], architectures: list[str], part: Part, n_images: int, data: Path
) -> list[Cell]:
    found = [
        load_cell(name, architecture, part, n_images, data)
        for name in NAMES
        for architecture in architectures
        if name in names
    ]
    return [cell for cell in found if cell is not None]
