"""``captum-pcim demo``: PCIM beside Captum's methods on synthetic images with exact truth."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from captum_pcim.cli.options import add_options, positive

if TYPE_CHECKING:
    from captum_pcim.comparison.result import Comparison
    from captum_pcim.synthetic import SmallResNet

MODALITIES = ("fluorescence", "brightfield")
METRICS = {
    "insertion, blur": "insertion",
    "deletion, background": "deletion",
    "relevance_mass_accuracy": "mass accuracy",
    "average_precision": "average precision",
}

_DESCRIPTION = """\
Explain the classifiers that ship with the package on synthetic fluorescence and bright-field images
whose evidence is known exactly, with PCIM and with Captum's own methods. Prints a table and writes
it as table.csv and table.txt, with the maps side by side in maps.png. Insertion starts from the
blurred image (higher is better), deletion ends at the background (lower is better); mass accuracy
and average precision compare the map to the truth (higher is better).
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "demo", help="PCIM beside Captum's methods on synthetic images", description=_DESCRIPTION
    )
    add_options(parser, "--out")
    parser.add_argument(
        "--images",
        type=positive,
        default=8,
        metavar="N",
        help="images of each kind (default: 8)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from captum_pcim.comparison.figures import plot_comparisons
    from captum_pcim.comparison.result import table_text, write_figure, write_table

    out: Path = args.out
    out.mkdir(parents=True, exist_ok=True)
    comparisons = {name: compare_on(name, args.images) for name in MODALITIES}
    rows = [row for name in MODALITIES for row in table(name, comparisons[name])]
    print(table_text(rows))
    write_table(out, "table", rows)
    write_figure(out, "maps", plot_comparisons(*comparisons.values(), max_images=4))
    print(f"\nwritten: {out / 'table.csv'}, {out / 'table.txt'}, {out / 'maps.png'}")
    return 0


def compare_on(modality: str, n_images: int) -> Comparison:
    """Compare PCIM and its rivals on images of a phenotype that the classifier gets right.

    Args:
        modality: "fluorescence" or "brightfield".
        n_images: Number of images.
    """
    from captum_pcim.comparison.compare import compare
    from captum_pcim.synthetic import load_cnn

    model = load_cnn(modality)
    images = recognised_images(model, modality, n_images)
    return compare(
        pcim_and_rivals(model), images.inputs, images.labels, images.masks, trivial=False
    )


def pcim_and_rivals(model: SmallResNet) -> dict[str, Any]:
    """Return PCIM at its defaults and its closest rivals, by name.

    Args:
        model: A classifier that ships with the package.
    """
    from captum_pcim import PCIM
    from captum_pcim.comparison.methods import grad_cam, integrated_gradients, occlusion
    from captum_pcim.comparison.trivial import random_map

    return {
        "PCIM": PCIM(model),
        "IntegratedGradients": integrated_gradients(model, "abs"),
        "IntegratedGradients, smoothed": integrated_gradients(model),
        "Occlusion": occlusion(model),
        "Grad-CAM": grad_cam(model, model.stages[-1]),
        "random": random_map,
    }


def table(modality: str, comparison: Comparison) -> list[dict[str, Any]]:
    """Return the rows of the printed table.

    Args:
        modality: What the images are.
        comparison: What was found on them.
    """
    return [
        {
            "images": modality,
            "method": row["method"],
            **{name: row[metric] for metric, name in METRICS.items()},
            "forward passes": row["forwards"],
            "backward passes": row["backwards"],
            "seconds": row["seconds"],
        }
        for row in comparison.table()
    ]


def recognised_images(model: Any, modality: str, n_images: int) -> Any:
    """Return the first held-out images of a phenotype that the classifier names rightly.

    Args:
        model: The classifier.
        modality: "fluorescence" or "brightfield".
        n_images: Number of images.
    """
    from captum_pcim.synthetic import HELD_OUT_SEED, synthetic_brightfield, synthetic_fluorescence

    fluorescent = modality == "fluorescence"
    generate: Any = synthetic_fluorescence if fluorescent else synthetic_brightfield
    # Three of four images show a phenotype; twice as many as needed leave room for errors.
    images = generate(2 * n_images + 4, seed=HELD_OUT_SEED)
    with torch.no_grad():
        right = model(images.inputs).argmax(1) == images.labels
    return images[(right & (images.labels > 0)).nonzero()[:n_images, 0]]
