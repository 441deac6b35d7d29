"""Arguments of Captum's methods that suit images, made from a batch of them.

Captum's defaults are made for features. These scale with the image: at 96 x 96 pixels, Occlusion
slides a window of 9 pixels in steps of 4, and superpixels are squares of 8. Baselines are each
image's own background, because zero is not neutral in bright field.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from captum_pcim.core.references import Background, Blur

N_STEPS = 32  # of integrated gradients
N_SAMPLES = 300  # of Lime and KernelShap
ROWS = 128  # that the network sees at once


def background(inputs: Tensor) -> Tensor:
    """Return each image's own background, as a baseline."""
    return Background()(inputs)[0]


def integrated_gradients_arguments(inputs: Tensor) -> dict[str, Any]:
    """Return those of integrated gradients."""
    return {
        "baselines": background(inputs),
        "n_steps": N_STEPS,
        "internal_batch_size": ROWS,
    }


def noise_tunnel_arguments(inputs: Tensor) -> dict[str, Any]:
    """Return those of a noise tunnel over integrated gradients."""
    # A tenth of the range, as in SmoothGrad (Smilkov et al. 2017, arXiv 1706.03825).
    return {
        "nt_type": "smoothgrad",
        "nt_samples": 8,
        "nt_samples_batch_size": 1,
        "stdevs": 0.1 * float(inputs.max() - inputs.min()),
        "baselines": background(inputs),
        "n_steps": N_STEPS // 2,
        "internal_batch_size": ROWS,
    }


def gradient_shap_arguments(inputs: Tensor) -> dict[str, Any]:
    """Return those of GradientShap."""
    return {
        "baselines": torch.cat([background(inputs), Blur()(inputs)[0]]),
        "n_samples": 16,
        "stdevs": 0.05 * float(inputs.max() - inputs.min()),
    }


def occlusion_arguments(inputs: Tensor) -> dict[str, Any]:
    """Return those of Occlusion, a window over all stains."""
    channels, side = inputs.shape[1], min(inputs.shape[2:])
    window, stride = max(1, round(side * 9 / 96)), max(1, round(side * 4 / 96))
    return {
        "sliding_window_shapes": (channels, window, window),
        "strides": (channels, stride, stride),
        "baselines": background(inputs),
        "perturbations_per_eval": max(1, ROWS // len(inputs)) if not inputs.is_cuda else 1,
    }


def superpixel_arguments(inputs: Tensor) -> dict[str, Any]:
    """Return those of FeatureAblation."""
    return {
        "feature_mask": superpixels(inputs),
        "baselines": background(inputs),
        "perturbations_per_eval": max(1, ROWS // len(inputs)),
    }


def surrogate_arguments(inputs: Tensor) -> dict[str, Any]:
    """Return those of Lime and KernelShap."""
    # One image at a time whatever the batch: a surrogate is fitted to each.
    return superpixel_arguments(inputs) | {"n_samples": N_SAMPLES, "perturbations_per_eval": ROWS}


def superpixels(inputs: Tensor, per_side: int = 12) -> Tensor:
    """Cut the images into squares.

    Args:
        inputs: Images of shape (N, C, H, W).
        per_side: Squares along the shorter side; those at the far edges may be smaller.

    Returns:
        Feature mask of shape (1, 1, H, W), int64, shared by images and stains.
    """
    height, width = inputs.shape[2:]
    side = max(1, round(min(height, width) / per_side))
    rows = torch.arange(height, device=inputs.device) // side
    columns = torch.arange(width, device=inputs.device) // side
    n_columns = -(-width // side)
    return (rows[:, None] * n_columns + columns)[None, None]
