"""What a call does unless told, argument by argument."""

import inspect

import pytest

from captum_pcim import PCIM, comparison, metrics
from captum_pcim.comparison.figures import plot_comparisons
from captum_pcim.comparison.methods import superpixels
from captum_pcim.metrics.curves import target_scores
from captum_pcim.metrics.road import impute

CURVE = {
    "target": None, "baselines": 0.0, "n_points": 51, "additional_forward_args": None,
    "perturbations_per_eval": 1, "score": "logits", "normalize": False, "seed": 0,
}  # fmt: skip
SHOWN = {"target": None, "baselines": 0.0, "fraction": None, "additional_forward_args": None,
         "score": "logits", "seed": 0}  # fmt: skip

DEFAULTS = {
    metrics.insertion: CURVE,
    metrics.deletion: CURVE,
    metrics.pixel_flipping: {k: v for k, v in CURVE.items() if k != "normalize"}
    | {"patch_size": 8},
    metrics.road: {
        "target": None, "order": "morf", "percentages": (10, 20, 30, 40, 50, 60, 70, 80, 90),
        "noise": 0.01, "additional_forward_args": None, "perturbations_per_eval": 1,
        "score": "logits", "seed": 0,
    },
    impute: {"tolerance": 1e-4, "max_iterations": 10000},
    metrics.saco: {
        "target": None, "baselines": None, "n_groups": 10, "additional_forward_args": None,
        "perturbations_per_eval": 1, "score": "logits", "seed": 0,
    },
    metrics.image_infidelity: {
        "target": None, "baselines": 0.0, "patch_size": 8, "fraction": 0.2, "noise": 0.1,
        "n_perturb_samples": 20, "additional_forward_args": None, "max_examples_per_batch": None,
        "score": "logits", "seed": 0,
    },
    metrics.image_sensitivity_max: {
        "noise": 0.05, "n_perturb_samples": 3, "max_examples_per_batch": None, "seed": 0,
    },
    metrics.smooth_mprt: {"target": None, "n_samples": 10, "noise": 0.1, "seed": 0},
    metrics.efficient_mprt: {"target": None, "n_bins": 100, "seed": 0},
    metrics.seed_agreement: {"target": None, "n_seeds": 3, "seed": 0},
    metrics.structural_similarity: {"sigma": 1.5},
    metrics.second_classifier_agreement: SHOWN,
    metrics.wrong_class_success: {k: SHOWN[k] for k in SHOWN if k not in ("target", "score")},
    metrics.image_grids: {"seed": 0},
    metrics.EquallyConfident: {"seed": 0},
    target_scores: {"score": "logits"},
    comparison.compare: {
        "target": None, "masks": None, "metrics": None, "forward_func": None, "score": None,
        "trivial": True, "batch_size": 8, "seed": 0,
    },
    comparison.captum_methods: {"layer": None, "reduce": "positive, smoothed", "score": "logits"},
    comparison.fidelity_metrics: {"n_points": 51},
    comparison.Comparison.plot: {"max_images": 8, "colours": None},
    plot_comparisons: {"max_images": 8, "colours": None},
    superpixels: {"per_side": 12},
    PCIM.attribute: {
        "baselines": None, "target": None, "additional_forward_args": None, "feature_mask": None,
        "internal_batch_size": None, "show_progress": False, "contrast": None, "n_steps": 46,
        "learning_rate": 0.5, "tolerance": 0.0, "perturbations_per_eval": 1,
        "return_diagnostics": False,
    },
}  # fmt: skip


@pytest.mark.parametrize("function", DEFAULTS, ids=lambda function: function.__qualname__)
def test_what_is_not_said_is_as_documented(function):
    parameters = inspect.signature(function).parameters.values()
    found = {p.name: p.default for p in parameters if p.default is not p.empty}
    assert found == DEFAULTS[function]
