"""Synthetic images that a classifier names rightly."""

from __future__ import annotations

import torch

from captum_pcim.synthetic import (
    SyntheticImages,
    synthetic_brightfield,
    synthetic_fluorescence,
)

GENERATORS = {"fluorescence": synthetic_fluorescence, "brightfield": synthetic_brightfield}


@torch.no_grad()
def recognised_positives(
    model: torch.nn.Module, modality: str, n_images: int, seed: int
) -> SyntheticImages:
    """The first images of a phenotype that the classifier names rightly."""
    # Three of four show a phenotype, and some are missed.
    images = GENERATORS[modality](int(1.6 * n_images) + 8, seed=seed)
    predicted = torch.cat([model(rows).argmax(1) for rows in images.inputs.split(64)])
    right = (predicted == images.labels) & (images.labels > 0)
    return images[right.nonzero()[:n_images, 0]]
