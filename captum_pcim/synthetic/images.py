"""Synthetic high content images whose evidence is known exactly, and the seeds everyone uses.

Every image is rendered twice from one seed, with and without its phenotype: the same cells, the
same illumination, the same photons. The truth is where the two noise-free renders differ by more
than ``TRUTH_THRESHOLD``; smaller differences are dropped, so outside the truth the pair is equal
bit by bit. The scene is drawn before the class is looked at, which is why nothing outside the truth
can tell the class.

Seeds: train on ``TRAIN_SEED``, choose settings on ``DEVELOPMENT_SEED``, report on
``HELD_OUT_SEED``. Image i of a seed is the same however many are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from captum_pcim.synthetic.cells import MARGIN, Cells, max_cells
from captum_pcim.synthetic.optics import Array, detect_pair, normalise

TRAIN_SEED = 0
DEVELOPMENT_SEED = 1
HELD_OUT_SEED = 2

TRUTH_THRESHOLD = 0.02  # of the input range; about one standard deviation of the noise
SIZES = (64, 512)


@dataclass(frozen=True)
class SyntheticImages:
    """N images with their counterfactuals and truth; ``images[index]`` selects some of them.

    Attributes:
        inputs: (N, C, H, W) float32 in [0, 1], one fixed window for all images.
        counts: (N, C, H, W) uint16 camera counts that ``inputs`` were made from.
        counterfactual: (N, C, H, W) float32, the same cells and noise without the phenotype;
            equal to ``inputs`` for controls, and everywhere outside ``masks``.
        labels: (N,) int64, an index into ``class_names``; 0 is control.
        masks: (N, 1, H, W) bool, the truth; empty for controls.
        shortcut_masks: (N, 1, H, W) bool, where the planted artefact shows; empty without one.
        cells: (N, H, W) int32 label images; 0 is background.
        nuclei: (N, H, W) int32, ``cells`` where the cell's nucleus is; 0 elsewhere.
        cell_has_phenotype: (N, K + 1) bool, indexed by the labels of ``cells``, so that
            ``cell_has_phenotype[i][cells[i]]`` is an image; columns past an image's cells are
            False.
        class_names: the classes, in order.
        stain_names: the stains, in order.
    """

    inputs: Tensor
    counts: Tensor
    counterfactual: Tensor
    labels: Tensor
    masks: Tensor
    shortcut_masks: Tensor
    cells: Tensor
    nuclei: Tensor
    cell_has_phenotype: Tensor
    class_names: tuple[str, ...]
    stain_names: tuple[str, ...]

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    def __getitem__(self, index: int | slice | Sequence[int] | Tensor) -> SyntheticImages:
        """The chosen images; a single integer gives a set of one."""
        chosen = torch.arange(len(self))[index].reshape(-1)
        # torch cannot index uint16 on every release that is supported; numpy can
        counts = torch.from_numpy(self.counts.numpy()[chosen.numpy()])
        return SyntheticImages(
            inputs=self.inputs[chosen],
            counts=counts,
            counterfactual=self.counterfactual[chosen],
            labels=self.labels[chosen],
            masks=self.masks[chosen],
            shortcut_masks=self.shortcut_masks[chosen],
            cells=self.cells[chosen],
            nuclei=self.nuclei[chosen],
            cell_has_phenotype=self.cell_has_phenotype[chosen],
            class_names=self.class_names,
            stain_names=self.stain_names,
        )


@dataclass(frozen=True)
class Pair:
    """One image before the camera: two noise-free renders (C, H, W) in units of the inputs."""

    control: Array
    positive: Array
    shortcut: NDArray[np.bool_]  # (H, W)
    cells: Cells
    affected: NDArray[np.int64]


RenderPair = Callable[[np.random.Generator, np.random.Generator, str | None, bool], Pair]
"""(scene generator, phenotype generator, phenotype or None, shortcut or not) to a pair."""


def generate(
    n: int,
    size: int,
    seed: int,
    phenotype: str | None,
    shortcut: bool,
    render_pair: RenderPair,
    photons: float,
    class_names: tuple[str, ...],
    stain_names: tuple[str, ...],
) -> SyntheticImages:
    """Renders n images with labels cycling through control and the phenotypes in use.

    Args:
        n: number of images.
        size: pixels a side, 64 to 512.
        seed: of the whole set.
        phenotype: the one positive class to use, or None for all of them.
        shortcut: whether to plant an artefact in 95 % of the images of the first phenotype in use
            and in 5 % of all others.
        render_pair: makes the noise-free pair of one image.
        photons: expected photons where an input is 1.
        class_names: control and the phenotypes; a label is an index into them.
        stain_names: the names of the C stains.

    Raises:
        ValueError: if ``n``, ``size`` or ``phenotype`` is out of its range.
    """
    in_use = _labels_in_use(n, size, phenotype, class_names)
    labels = [in_use[i % len(in_use)] for i in range(n)]
    shape = (n, len(stain_names), size, size)
    counts, counterfactual = np.empty(shape, np.uint16), np.empty(shape, np.uint16)
    masks, shortcut_masks = np.zeros((2, n, 1, size, size), bool)
    cells, nuclei = np.empty((2, n, size, size), np.int32)
    has_phenotype = np.zeros((n, max_cells(size) + 1), bool)
    within = slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN)

    for i, label in enumerate(labels):
        # one stream each, so that no draw of the scene or the noise can depend on the class
        scene, traits, noise, artefact = (np.random.default_rng([seed, i, k]) for k in range(4))
        planted = shortcut and artefact.random() < (0.95 if label == in_use[1] else 0.05)
        pair = render_pair(scene, traits, class_names[label] if label else None, planted)
        truth = (np.abs(pair.positive - pair.control) > TRUTH_THRESHOLD).any(axis=0)
        positive = np.where(truth, pair.positive, pair.control)
        counterfactual[i], counts[i] = detect_pair(noise, pair.control, positive, photons)
        masks[i, 0], shortcut_masks[i, 0] = truth, pair.shortcut
        cells[i] = pair.cells.labels[within]
        nuclei[i] = pair.cells.nuclei()[within]
        has_phenotype[i, pair.affected + 1] = True

    return SyntheticImages(
        inputs=torch.from_numpy(normalise(counts)),
        counts=torch.from_numpy(counts),
        counterfactual=torch.from_numpy(normalise(counterfactual)),
        labels=torch.tensor(labels, dtype=torch.int64),
        masks=torch.from_numpy(masks),
        shortcut_masks=torch.from_numpy(shortcut_masks),
        cells=torch.from_numpy(cells),
        nuclei=torch.from_numpy(nuclei),
        cell_has_phenotype=torch.from_numpy(has_phenotype),
        class_names=class_names,
        stain_names=stain_names,
    )


def _labels_in_use(
    n: int, size: int, phenotype: str | None, class_names: tuple[str, ...]
) -> list[int]:
    if n < 1:
        raise ValueError(f"n: expected at least 1 image, got {n}")
    if not SIZES[0] <= size <= SIZES[1]:
        raise ValueError(f"size: expected {SIZES[0]} to {SIZES[1]} pixels, got {size}")
    if phenotype is None:
        return list(range(len(class_names)))
    if phenotype not in class_names[1:]:
        raise ValueError(f"phenotype: expected one of {class_names[1:]}, got {phenotype!r}")
    return [0, class_names.index(phenotype)]
