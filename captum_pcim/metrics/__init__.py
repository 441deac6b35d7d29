"""Measures of attribution maps that captum.metrics lacks."""

from captum_pcim.metrics.adversarial import second_classifier_agreement, wrong_class_success
from captum_pcim.metrics.captum_settings import image_infidelity, image_sensitivity_max
from captum_pcim.metrics.complexity import entropy, gini
from captum_pcim.metrics.curves import Curve
from captum_pcim.metrics.fidelity import deletion, insertion, pixel_flipping
from captum_pcim.metrics.grid import ImageGrids, grid_pointing_game, image_grids
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
from captum_pcim.metrics.randomised import EquallyConfident
from captum_pcim.metrics.road import road
from captum_pcim.metrics.saco import saco
from captum_pcim.metrics.sanity import (
    LayerwiseSimilarity,
    efficient_mprt,
    rank_correlation,
    seed_agreement,
    smooth_mprt,
    structural_similarity,
)

__all__ = [
    "Curve",
    "EquallyConfident",
    "ImageGrids",
    "LayerwiseSimilarity",
    "auroc",
    "average_precision",
    "boxes_to_masks",
    "chance_levels",
    "deletion",
    "efficient_mprt",
    "entropy",
    "gini",
    "grid_pointing_game",
    "image_grids",
    "image_infidelity",
    "image_sensitivity_max",
    "insertion",
    "object_shares",
    "pixel_flipping",
    "pointing_game",
    "rank_correlation",
    "relevance_mass_accuracy",
    "relevance_rank_accuracy",
    "road",
    "saco",
    "second_classifier_agreement",
    "seed_agreement",
    "smooth_mprt",
    "structural_similarity",
    "wrong_class_success",
]
