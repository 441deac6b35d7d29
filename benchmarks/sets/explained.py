"""The seven image sets of the quality benchmark, each with a classifier to explain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.sets.classifiers import SYNTHETIC, classifier, probabilities
from benchmarks.sets.real_data import REAL_SETS, LabelledImages, Part
from captum_pcim.synthetic import DEVELOPMENT_SEED, HELD_OUT_SEED

NAMES = (*SYNTHETIC, *REAL_SETS)


@dataclass(frozen=True)
class Explained:
    """Images that the classifier is right about and whose class has evidence in the image.

    Attributes:
        name: Of the set.
        model: The classifier.
        images: The images that are explained.
        others: For each of the images three of other classes, whose classes the classifier names
            rightly too, (N, 3, C, H, W).
    """

    name: str
    model: nn.Module
    images: LabelledImages
    others: Tensor


def load(
    name: str, architecture: str, part: Part, n_images: int, data: Path, device: str
) -> Explained | None:
    """Load a set with its classifier, which is trained if it is not there yet.

    Returns:
        The set; None where it has no such part, or the data folder does not hold it.
    """
    images, explained = _images(name, part, n_images, data)
    if images is None:
        return None
    model = classifier(name, architecture, data).to(device)
    images = LabelledImages(
        *(None if t is None else t.to(device)
          for t in (images.inputs, images.labels, images.masks, images.finer_masks))
    )  # fmt: skip
    right = probabilities(model, images.inputs).argmax(1) == images.labels
    wanted = right & torch.isin(images.labels, torch.tensor(explained, device=device))
    chosen = _spread(wanted.nonzero()[:, 0], n_images)
    others = images.inputs[_of_other_classes(images.labels, right, chosen)]
    return Explained(name, model, images[chosen], others)


def _images(
    name: str, part: Part, n_images: int, data: Path
) -> tuple[LabelledImages | None, Sequence[int]]:
    if name in SYNTHETIC:
        seed = {"tuning": DEVELOPMENT_SEED, "reporting": HELD_OUT_SEED}[part]
        images = SYNTHETIC[name][1](max(100, int(1.6 * n_images)), seed=seed)
        return LabelledImages(images.inputs, images.labels, images.masks), (1, 2, 3)
    real = REAL_SETS[name]
    if part == "tuning" and not real.has_tuning_part:
        return None, ()
    if not (data / name.split()[0]).is_dir():
        return None, ()
    return real.load(data, part), real.explained


def _of_other_classes(labels: Tensor, right: Tensor, chosen: Tensor, n: int = 3) -> Tensor:
    """For each chosen image n rightly classified ones of other classes, drawn at random."""
    generator = torch.Generator().manual_seed(0)
    rows = []
    for label in labels[chosen]:
        candidates = (right & (labels != label)).nonzero()[:, 0]
        rows.append(candidates[torch.randperm(len(candidates), generator=generator)[:n]])
    return torch.stack(rows)


def _spread(indices: Tensor, n: int) -> Tensor:
    """At most n of the indices, evenly spread over all of them."""
    if len(indices) <= n:
        return indices
    return indices[torch.linspace(0, len(indices) - 1, n).round().long()]
