"""PCIM at its defaults beside its closest rivals on the synthetic development images.

    python -m benchmarks.quality.development --write

Correctly classified images of a phenotype, 96 x 96 pixels, of the seed that settings are chosen on.
"""

from __future__ import annotations

import argparse

from benchmarks.quality.panels import OPTIMISED_ON
from benchmarks.quality.tables import comparison_table
from benchmarks.results import add_write_option, publish
from benchmarks.sets.synthetic import GENERATORS, recognised_positives
from captum_pcim.cli.demo import pcim_and_rivals
from captum_pcim.comparison.compare import compare
from captum_pcim.comparison.metrics import fidelity_metrics, localisation_metrics
from captum_pcim.comparison.result import Comparison
from captum_pcim.synthetic import DEVELOPMENT_SEED, load_cnn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100, help="of each kind (default: 100)")
    parser.add_argument("--points", type=int, default=51, help="of each curve (default: 51)")
    parser.add_argument("--modalities", nargs="+", default=[*GENERATORS], choices=[*GENERATORS])
    add_write_option(parser)
    arguments = parser.parse_args()

    metrics = fidelity_metrics(OPTIMISED_ON, arguments.points) | localisation_metrics()
    metrics.pop("pointing_game")
    for modality in arguments.modalities:
        comparison = compare_on(modality, arguments.images, metrics)
        title = f"Synthetic {modality}, {len(comparison.case.inputs)} development images"
        table = comparison_table(title, __doc__.splitlines()[-1], comparison, list(metrics))
        publish(f"quality/development_{modality}", table, arguments.write)


def compare_on(modality: str, n_images: int, metrics: dict) -> Comparison:
    model = load_cnn(modality)
    images = recognised_positives(model, modality, n_images, DEVELOPMENT_SEED)
    return compare(
        pcim_and_rivals(model), images.inputs, images.labels, images.masks, metrics, trivial=False
    )


if __name__ == "__main__":
    main()
