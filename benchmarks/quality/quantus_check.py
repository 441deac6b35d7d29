"""Cross-check of captum_pcim.metrics against Quantus 0.6, an independent implementation.

Quantus is LGPL and stays outside the package: `pip install --group bench`. Run

    python -m benchmarks.quality.quantus_check

for a table of the largest absolute difference of each measure over random maps of several sizes
and numbers of stains.
"""

import argparse

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.results import Table, add_write_option, publish
from captum_pcim.metrics import (
    deletion,
    gini,
    pointing_game,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
)

SIZES = [(1, 12, 12), (3, 18, 16), (5, 24, 20)]
N_IMAGES = 6


def largest_differences(size: tuple[int, int, int], seed: int = 0) -> dict[str, float]:
    """Score random maps with both packages.

    Args:
        size: Stains, height and width; the number of pixels must divide by 12 x stains.
        seed: Seed of network, images, maps and masks.

    Returns:
        Largest absolute difference over the images, by measure.
    """
    quantus = _quantus()
    inputs, maps, masks, target, network = _random_case(size, seed)
    shared = {
        "model": network,
        "x_batch": inputs.numpy(),
        "y_batch": target.numpy(),
        "a_batch": maps.numpy(),
        "s_batch": masks.numpy(),
        "device": "cpu",
        "channel_first": True,
        "softmax": True,
    }
    plain = {"abs": False, "normalise": False, "disable_warnings": True}
    n_steps, n_pixels = 12 * size[0], size[1] * size[2]
    flipping = quantus.PixelFlipping(
        # Quantus flips a pixel's stains one by one: so many make whole pixels.
        features_in_step=size[0] * n_pixels // n_steps,
        perturb_baseline=0.0,
        return_auc_per_sample=True,
        **plain,
    )
    # Quantus leaves out the image itself and has steps of width 1.
    curve = deletion(network, inputs, maps, target, n_points=n_steps + 1)
    ours = {
        "relevance mass accuracy": relevance_mass_accuracy(maps, masks),
        "relevance rank accuracy": relevance_rank_accuracy(maps, masks),
        "pointing game": pointing_game(maps, masks),
        "sparseness (gini)": gini(maps),
        "deletion (pixel flipping)": torch.trapezoid(curve.scores[:, 1:], dim=1) / n_steps,
    }
    theirs = {
        "relevance mass accuracy": quantus.RelevanceMassAccuracy(**plain)(**shared),
        "relevance rank accuracy": quantus.RelevanceRankAccuracy(**plain)(**shared),
        "pointing game": quantus.PointingGame(**plain)(**shared),
        "sparseness (gini)": quantus.Sparseness(**{**plain, "abs": True})(**shared),
        "deletion (pixel flipping)": np.asarray(flipping(**shared)) / n_steps,
    }
    return {
        name: float(np.abs(ours[name].numpy() - np.asarray(theirs[name], dtype=float)).max())
        for name in ours
    }


def main() -> None:
    """Print the table and, where asked to, keep it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_write_option(parser)
    arguments = parser.parse_args()
    found = {"x".join(map(str, size)): largest_differences(size) for size in SIZES}
    measures = next(iter(found.values()))
    table = Table(
        "Largest absolute difference to Quantus",
        ["measure", *found],
        [[name, *(f"{one[name]:.1e}" for one in found.values())] for name in measures],
        f"Over {N_IMAGES} random maps of each size, stains x pixels x pixels.",
    )
    publish("quality/quantus_check", table, arguments.write)


def _random_case(
    size: tuple[int, int, int], seed: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, nn.Module]:
    torch.manual_seed(seed)
    n_stains, height, width = size
    inputs = torch.rand(N_IMAGES, n_stains, height, width) + 0.1
    maps = torch.rand(N_IMAGES, 1, height, width)
    masks = torch.zeros(N_IMAGES, 1, height, width, dtype=torch.bool)
    for image, mask in enumerate(masks):
        mask[:, image : image + 5, 2 : 6 + image] = True
    target = torch.arange(N_IMAGES) % 3
    network = nn.Sequential(
        nn.Conv2d(n_stains, 6, 5),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(3),
        nn.Flatten(),
        nn.Linear(54, 3),
    )
    return inputs, maps, masks, target, network.eval()


def _quantus():
    try:
        import quantus
    except ImportError as error:
        raise ImportError("this check needs Quantus: pip install --group bench") from error
    # Quantus 0.6 calls a function that NumPy 2 renamed and NumPy 2.4 no longer has.
    if not hasattr(np, "trapz"):
        np.trapz = np.trapezoid
    return quantus


if __name__ == "__main__":
    main()
