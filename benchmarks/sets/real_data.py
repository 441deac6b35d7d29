"""Image sets of others, corrected for their shortcuts and split by well or image.

The folder holds `bbbc010`, `organoids`, `bccd` and `xai_tris`; it is an argument, nothing of it is
copied into the project. Without corrections a classifier rightly looks at the background:

- bbbc010 fluorescence: the background level tells the classes apart, so each image's median is
  subtracted and what is below 150 counts is zeroed;
- bbbc010 bright field: so do brightness and shading of the well, so the image is divided by the
  local mean of the well (a wide Gaussian inside the well) and set to that mean outside;
- organoids, bccd: nothing known;
- xai_tris: none, it is synthetic, with the parts and the exact truth of its makers.

Splits are by well or image, never by crop, stratified by class. bbbc010 has no tuning part: it is
held out from all tuning.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from captum_pcim.metrics import boxes_to_masks

Part = Literal["train", "tuning", "reporting"]
DEFAULT_DATA = Path("../shared/data")
_SIZE = 256  # pixels a side that wells of bbbc010 are brought to, before they are quartered
_PLATELET = 150  # pixels at half resolution; a platelet's box has about 400
_WELL = (slice(54, 510), slice(116, 572))  # rows and columns that hold the well in every image


@dataclass(frozen=True)
class LabelledImages:
    """Images of one part of a set.

    Attributes:
        inputs: (N, C, H, W) float32 in [0, 1].
        labels: (N,) int64.
        masks: (N, 1, H, W) bool, where the evidence can be.
        finer_masks: (N, 1, H, W) bool, a narrower truth where the set has one.
    """

    inputs: Tensor
    labels: Tensor
    masks: Tensor
    finer_masks: Tensor | None = None

    def __getitem__(self, index: Tensor) -> LabelledImages:
        finer = None if self.finer_masks is None else self.finer_masks[index]
        return LabelledImages(self.inputs[index], self.labels[index], self.masks[index], finer)


@dataclass(frozen=True)
class RealSet:
    """How to load a set, and which classes have evidence that a map can show.

    Attributes:
        load: (data folder, part) to images.
        explained: Labels whose images are explained.
        n_stains: C.
        has_tuning_part: Whether it may be tuned on.
        n_steps: Steps that its classifiers are trained for.
    """

    load: Callable[[Path, Part], LabelledImages]
    explained: tuple[int, ...]
    n_stains: int
    has_tuning_part: bool = True
    n_steps: int = 400


def load_bbbc010(data: Path, part: Part, modality: str) -> LabelledImages:
    """C. elegans: class 0 treated (mostly alive), 1 untreated (mostly dead).

    Args:
        data: The folder that holds `bbbc010`.
        part: "train" or "reporting".
        modality: "fluorescence" or "brightfield".

    Returns:
        Quarters of wells of 128 x 128 pixels, in which worms are some 6 pixels wide; those without
        worms are left out. Masks are the worms, finer masks those that are more than 100 counts
        above the median in fluorescence, whatever the modality.
    """
    folder = data / "bbbc010"
    rows = _rows(folder / "wells.csv")
    classes = [int(row["label"] == "untreated") for row in rows]
    chosen = split(classes, {"train": 0.5, "reporting": 0.5})[part]
    wells = [_load_well(folder, rows[i]["well"], modality) for i in chosen]
    inputs, masks, finer = (_quarters(torch.stack(parts)) for parts in zip(*wells, strict=True))
    labels = torch.tensor([classes[i] for i in chosen]).repeat_interleave(4)
    has_worms = masks.float().mean((1, 2, 3)) > 0.005
    return LabelledImages(inputs, labels, masks, finer)[has_worms]


def load_organoids(data: Path, part: Part) -> LabelledImages:
    """Intestinal organoids: class 0 forskolin, 1 forskolin with both modulators (swollen).

    Class 1 are the wells with at least 0.32 uM. Each well gives four crops of half resolution.

    Args:
        data: The folder that holds `organoids`.
        part: The part.

    Returns:
        Crops of 128 x 128 pixels; masks are the organoids.
    """
    folder = data / "organoids"
    rows = [row for row in _rows(folder / "wells.csv") if _is_strong_contrast(row)]
    classes = [int(row["compound"] == "fsk_770_809") for row in rows]
    chosen = split(classes, {"train": 0.5, "tuning": 0.25, "reporting": 0.25})[part]
    names = [f"{rows[i]['well']}.png" for i in chosen]
    images = torch.stack([_read(folder / "images" / name) / 255 for name in names])[:, None]
    masks = torch.stack([_read(folder / "masks" / name) > 0 for name in names])[:, None]
    crops = _quarters(F.avg_pool2d(images, 2))
    crop_masks = _quarters(F.avg_pool2d(masks.float(), 2)) > 0.5
    labels = torch.tensor([classes[i] for i in chosen]).repeat_interleave(4)
    return LabelledImages(crops, labels, crop_masks)


def load_bccd(data: Path, part: Part) -> LabelledImages:
    """Blood smears: class 1 where there is a platelet.

    Args:
        data: The folder that holds `bccd`.
        part: The part.

    Returns:
        Colour tiles of 96 x 96 pixels, six of each image at half its resolution; masks are the
        platelets' boxes. Tiles that only hold a platelet's rim are left out.
    """
    folder = data / "bccd"
    boxes: dict[str, list[list[float]]] = {path.stem: [] for path in (folder / "images").iterdir()}
    for row in _rows(folder / "boxes.csv"):
        if row["label"] == "Platelets":
            corners = [float(row[name]) for name in ("xmin", "ymin", "xmax", "ymax")]
            boxes[row["image"]].append(corners)
    names = sorted(boxes)
    classes = [int(bool(boxes[name])) for name in names]
    chosen = split(classes, {"train": 0.6, "tuning": 0.15, "reporting": 0.25})[part]
    images = torch.stack([_read(folder / "images" / f"{names[i]}.jpg") for i in chosen]) / 255
    masks = boxes_to_masks([torch.tensor(boxes[names[i]]) for i in chosen], images.shape[2:])
    tiles = _tiles(F.avg_pool2d(images, 2))
    tile_masks = _tiles(F.avg_pool2d(masks.float(), 2)) > 0.5
    shown = tile_masks.flatten(1).sum(1)
    labels = (shown >= _PLATELET).long()
    return LabelledImages(tiles, labels, tile_masks)[(shown == 0) | (labels == 1)]


def load_xai_tris(data: Path, part: Part) -> LabelledImages:
    """Tetrominoes on correlated noise (XAI-TRIS, Clark et al. 2023): class 0 a T, 1 an L.

    Args:
        data: The folder that holds `xai_tris`.
        part: The part; tuning is the validation part of its makers, reporting their test part.

    Returns:
        Images of 64 x 64 pixels; masks are the tetrominoes.
    """
    with np.load(data / "xai_tris" / "rigid_correlated.npz") as arrays:
        chosen = arrays["part"] == ("train", "tuning", "reporting").index(part)
        inputs = torch.from_numpy(arrays["images"][chosen]).float()[:, None] / 255
        labels = torch.from_numpy(arrays["labels"][chosen]).long()
        masks = np.unpackbits(arrays["masks"][chosen], axis=-1).astype(bool)[:, None]
    return LabelledImages(inputs, labels, torch.from_numpy(masks))


def split(classes: list[int], shares: dict[str, float], seed: int = 0) -> dict[str, list[int]]:
    """Deal the members of each class out to the parts, at random.

    Args:
        classes: Class of each member.
        shares: Share of each part; they sum to 1.
        seed: Of the shuffle.

    Returns:
        Indices of each part, ascending.
    """
    rng = np.random.default_rng(seed)
    parts: dict[str, list[int]] = {name: [] for name in shares}
    for label in sorted(set(classes)):
        members = rng.permutation([i for i, c in enumerate(classes) if c == label])
        ends = np.round(np.cumsum(list(shares.values())) * len(members)).astype(int)
        for name, piece in zip(shares, np.split(members, ends[:-1]), strict=True):
            parts[name] += piece.tolist()
    return {name: sorted(indices) for name, indices in parts.items()}


REAL_SETS = {
    "bbbc010 fluorescence": RealSet(
        lambda data, part: load_bbbc010(data, part, "fluorescence"), (1,), 1, has_tuning_part=False
    ),
    "bbbc010 bright field": RealSet(
        lambda data, part: load_bbbc010(data, part, "brightfield"), (1,), 1, has_tuning_part=False
    ),
    "organoids": RealSet(load_organoids, (0, 1), 1),
    "bccd": RealSet(load_bccd, (1,), 3, n_steps=1000),
    "xai_tris": RealSet(load_xai_tris, (0, 1), 1, n_steps=3000),
}


def _load_well(folder: Path, well: str, modality: str) -> tuple[Tensor, Tensor, Tensor]:
    counts = _read(folder / "fluorescence" / f"{well}.png")
    worms = _read(folder / "masks" / f"{well}.png").long()
    signal = counts - counts.median()
    per_worm = torch.bincount(worms.flatten(), signal.flatten()) / torch.bincount(worms.flatten())
    fluorescent = (per_worm > 100)[worms] & (worms > 0)
    masks = (_resized((mask[_WELL]).float()) > 0.5 for mask in (worms > 0, fluorescent))
    if modality == "fluorescence":
        zeroed = torch.where(signal < 150, 0.0, signal / 1500).clamp(max=1)
        return _resized(zeroed[_WELL]), *masks
    return _flattened(_resized(_read(folder / "brightfield" / f"{well}.png")[_WELL])), *masks


def _flattened(image: Tensor) -> Tensor:
    """Divide a bright-field well (1, H, W) by its local mean, which becomes 0.5."""
    # Outside the well are 5 to 8 counts. Closing puts dark worms, and the worms at the edge, back.
    lit = F.pad((image > 20).float(), (20, 20, 20, 20))
    closed = -F.max_pool2d(-F.max_pool2d(lit, 17, 1, 8), 21, 1, 10)
    in_well = closed[:, 20:-20, 20:-20]
    local_mean = _gaussian(image * in_well) / _gaussian(in_well).clamp(min=1e-6)
    flat = 0.5 * image / local_mean.clamp(min=1)
    return torch.where(in_well > 0, flat, 0.5).clamp(0, 1)


def _gaussian(image: Tensor, sigma: float = 20.0) -> Tensor:
    reach = torch.arange(-int(3 * sigma), int(3 * sigma) + 1)
    kernel = torch.exp(-((reach / sigma) ** 2) / 2)
    kernel = kernel / kernel.sum()
    rows = F.conv2d(image[None], kernel.view(1, 1, -1, 1), padding="same")
    return F.conv2d(rows, kernel.view(1, 1, 1, -1), padding="same")[0]


def _is_strong_contrast(row: dict[str, str]) -> bool:
    if row["compound"] == "fsk":
        return True
    return row["compound"] == "fsk_770_809" and float(row["forskolin_uM"]) >= 0.32


def _quarters(images: Tensor) -> Tensor:
    """(N, C, 2h, 2w) to (4N, C, h, w), the four crops of an image one after the other."""
    halves = [half for rows in images.chunk(2, 2) for half in rows.chunk(2, 3)]
    return torch.stack(halves, 1).flatten(0, 1)


def _tiles(images: Tensor, size: int = 96) -> Tensor:
    """(N, C, 240, 320) to (6N, C, 96, 96), two rows of three, the tiles of an image in a row."""
    rows, columns = ((0, 144), (0, 112, 224))
    tiles = [images[:, :, y : y + size, x : x + size] for y in rows for x in columns]
    return torch.stack(tiles, 1).flatten(0, 1)


def _resized(image: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(image[None], _SIZE)


def _read(path: Path) -> Tensor:
    with Image.open(path) as image:
        pixels = torch.from_numpy(np.asarray(image).astype(np.float32))
    return pixels if pixels.ndim == 2 else pixels.permute(2, 0, 1)


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))
