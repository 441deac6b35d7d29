"""Measures of attribution maps that captum.metrics lacks."""

from captum_pcim.metrics.curves import Curve
from captum_pcim.metrics.fidelity import deletion, insertion, pixel_flipping
from captum_pcim.metrics.localisation import (
    auroc,
    average_precision,
    boxes_to_masks,
    chance_levels,
    object_shares,
    pointing_game,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
)

__all__ = [
    "Curve",
    "auroc",
    "average_precision",
    "boxes_to_masks",
    "chance_levels",
    "deletion",
    "insertion",
    "object_shares",
    "pixel_flipping",
    "pointing_game",
    "relevance_mass_accuracy",
    "relevance_rank_accuracy",
]
