"""PCIM at its defaults beside its closest rivals on the synthetic development images.

    python -m benchmarks.quality.development --write

Correctly classified images of a phenotype, 96 x 96 pixels, of the seed that settings are chosen on.
"""

from __future__ import annotations

import argparse

import torch

from benchmarks.quality.panels import OPTIMISED_ON, fidelity_panel
from benchmarks.quality.tables import comparison_table
from benchmarks.results import add_write_option, publish
from captum_pcim.cli.demo import pcim_and_rivals
from captum_pcim.comparison.compare import compare
from captum_pcim.comparison.metrics import localisation_metrics
from captum_pcim.comparison.result import Comparison
from captum_pcim.synthetic import (
    DEVELOPMENT_SEED,
    SyntheticImages,
    load_cnn,
    synthetic_brightfield,
    synthetic_fluorescence,
)

GENERATORS = {"fluorescence": synthetic_fluorescence, "brightfield": synthetic_brightfield}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100, help="of each kind (default: 100)")
    parser.add_argument("--points", type=int, default=51, help="of each curve (default: 51)")
    parser.add_argument("--modalities", nargs="+", default=[*GENERATORS], choices=[*GENERATORS])
    add_write_option(parser)
    arguments = parser.parse_args()

    metrics = fidelity_panel(OPTIMISED_ON, arguments.points) | localisation_metrics()
    metrics.pop("pointing_game")
    parts = ["## Development images", "", __doc__.splitlines()[-1]]
    for modality in arguments.modalities:
        comparison = compare_on(modality, arguments.images, metrics)
        n = len(comparison.case.inputs)
        parts += ["", f"### Synthetic {modality}, {n} images", ""]
        parts += [comparison_table(comparison, list(metrics))]
    publish("development", "\n".join(parts), arguments.write)


def compare_on(modality: str, n_images: int, metrics: dict) -> Comparison:
    model = load_cnn(modality)
    images = recognised_positives(model, modality, n_images, DEVELOPMENT_SEED)
    return compare(
        pcim_and_rivals(model), images.inputs, images.labels, images.masks, metrics, trivial=False
    )


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


if __name__ == "__main__":
    main()
