"""All that a method is measured with: fidelity, localisation, transfer, and sanity."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from benchmarks.fair.cells import Cell
from benchmarks.quality.panels import background, blur, half_blur, noisy_background
from captum_pcim.metrics import (
    average_precision,
    deletion,
    grid_pointing_game,
    insertion,
    rank_correlation,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
    road,
    structural_similarity,
    wrong_class_success,
)

MakeMaps = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""From network, images (N, C, H, W) and classes (N,) to maps (N, 1, H, W)."""

Scores = dict[str, Tensor]
"""By metric one score per image (N,), NaN where the metric has no answer."""

HEADLINES = {
    "insertion": 1,
    "deletion": -1,
    "ROAD": -1,
    "relevance_mass_accuracy": 1,
    "relevance_rank_accuracy": 1,
    "average_precision": 1,
    "grid": 1,
    "insertion, other network": 1,
    "deletion, other network": -1,
}
"""What verdicts are passed on: 1 where higher is better, -1 where lower is."""

REFERENCES = ("blur", "background", "half blur", "noisy background", "donors")

UNLIKE = ("blur", "background", "donors")
"""References that differ most; the other two are much like the first two."""

SANITY = ("randomised, rank", "randomised, SSIM", "contrast", "wrong class", "empty")
"""Nearer to 0 is better in all of them; `empty` means something for maps of weights only."""

_WRONG_FRACTION = 0.1  # of the pixels, preserved for a class that is not there


def quick_panel(
    cell: Cell,
    maps: Tensor,
    grid_maps: Tensor,
    n_points: int,
    references: Sequence[str] = REFERENCES,
) -> Scores:
    """Fidelity and localisation: what the forms of rivals are chosen by."""
    scores = fidelity(cell, cell.model, maps, n_points, references)
    for metric in (relevance_mass_accuracy, relevance_rank_accuracy, average_precision):
        scores[metric.__name__] = metric(maps, cell.masks)
    # Every other image has a grid.
    grid = torch.full_like(scores["insertion"], torch.nan)
    grid[::2] = grid_pointing_game(grid_maps, cell.grids)
    return scores | {"grid": grid}


def full_panel(cell: Cell, make_maps: MakeMaps, n_points: int) -> Scores:
    """The quick panel, ROAD, the scores on the other network, and sanity."""
    maps = make_maps(cell.model, cell.inputs, cell.target)
    grids = cell.grids
    grid_maps = make_maps(cell.model, grids.inputs, grids.target)
    scores = quick_panel(cell, maps, grid_maps, n_points)
    percentages = (10, 30, 50, 70, 90)
    scores["ROAD"] = road(cell.model, cell.inputs, maps, cell.target, percentages=percentages).auc
    transfer = fidelity(cell, cell.second_model, maps, n_points)
    for curve in ("insertion", "deletion"):
        scores[f"{curve}, other network"] = transfer[curve]
    return scores | sanity(cell, make_maps, maps)


def fidelity(
    cell: Cell,
    network: nn.Module,
    maps: Tensor,
    n_points: int,
    references: Sequence[str] = REFERENCES,
) -> Scores:
    """Insertion and deletion with each of the references, and their means."""
    images = {
        "blur": [blur(cell.inputs)],
        "background": [background(cell.inputs)],
        "half blur": [half_blur(cell.inputs)],
        "noisy background": [noisy_background(cell.inputs)],
        "donors": [*cell.others[:, :2].unbind(1)],
    }
    fast = fused(network, cell.inputs)
    scores = {}
    for curve in (insertion, deletion):
        areas = {
            name: [
                curve(fast, cell.inputs, maps, cell.target, image, n_points).auc
                for image in images[name]
            ]
            for name in references
        }  # fmt: skip
        own = {name: torch.stack(found).mean(0) for name, found in areas.items()}
        scores |= {f"{curve.__name__}, {name}": area for name, area in own.items()}
        scores[curve.__name__] = torch.stack([*own.values()]).mean(0)
    return scores


def fused(network: nn.Module, inputs: Tensor) -> nn.Module:
    """The network with its normalisations folded into its convolutions: half the time, to score."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = torch.jit.trace(network, inputs[:1])
        return torch.jit.optimize_for_inference(traced)


def sanity(cell: Cell, make_maps: MakeMaps, maps: Tensor) -> Scores:
    """Does the map come from the network, or from the image, or from nowhere?"""
    network = cell.randomised
    with torch.no_grad():
        predicted = network(cell.inputs).argmax(1)
    untrained = make_maps(network, cell.inputs, predicted)
    wrong = cell.wrong_target
    wrong_maps = make_maps(cell.model, cell.inputs, wrong)
    succeeds = [
        wrong_class_success(
            cell.model, lambda *_: wrong_maps, cell.inputs, cell.target, wrong, reference,
            fraction=_WRONG_FRACTION,
        )
        for reference in (background(cell.inputs), blur(cell.inputs))
    ]  # fmt: skip
    contrast = (cell.inputs - background(cell.inputs)).abs()
    return {
        "randomised, rank": rank_correlation(maps, untrained),
        "randomised, SSIM": structural_similarity(maps, untrained),
        "contrast": rank_correlation(maps, contrast),
        "wrong class": torch.stack(succeeds).nanmean(0),
        "empty": ((maps > 0.5).float().mean((1, 2, 3)) < 0.002).float(),
    }
