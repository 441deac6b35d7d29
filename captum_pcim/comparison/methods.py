"""Captum's attribution methods, ready for :func:`captum_pcim.comparison.compare.compare`.

Captum's defaults are made for features; the settings here are made for images. They scale with
the image: at 96 x 96 pixels, Occlusion slides a window of 9 pixels in steps of 4, and superpixels
are squares of 8. Baselines are each image's own background, because zero is not neutral in bright
field.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from captum.attr import (
    DeepLift,
    FeatureAblation,
    GradientShap,
    GuidedBackprop,
    GuidedGradCam,
    InputXGradient,
    IntegratedGradients,
    KernelShap,
    LayerGradCam,
    Lime,
    NoiseTunnel,
    Occlusion,
    Saliency,
)
from torch import Tensor, nn

from captum_pcim.comparison.method import Method
from captum_pcim.core.references import Background, Blur

N_STEPS = 32  # of integrated gradients
N_SAMPLES = 300  # of Lime and KernelShap
ROWS = 128  # that the network sees at once


def captum_methods(model: Callable[..., Any], layer: nn.Module | None = None) -> dict[str, Method]:
    """Return Captum's methods in image settings, by name.

    Gradients are reduced by their magnitude, ablations and Grad-CAM with their sign. DeepLift
    and guided backpropagation need the network's rectifiers to be modules of their own
    (`torch.nn.ReLU`); where they are functions, Captum falls back to the plain gradient there.

    Args:
        model: The classifier. Where it is not a module, the methods that need one are left out:
            DeepLift and guided backpropagation.
        layer: Layer for Grad-CAM and guided Grad-CAM, usually the last convolution; without it they
            are left out.

    Returns:
        Methods for :func:`captum_pcim.comparison.compare.compare`.

    Examples:
        >>> compare({"PCIM": PCIM(model)} | captum_methods(model, model.stages[-1]), inputs, 1)
    """
    return _gradients(model) | _ablations(model) | _module_methods(model, layer)


def smoothed_integrated_gradients(model: Callable[..., Any], sigma: float | None = None) -> Method:
    """Return integrated gradients whose magnitude is blurred by a Gaussian.

    Args:
        model: The classifier.
        sigma: Standard deviation in pixels; None takes 1/32 of the shorter side (3 at 96).
    """
    method = integrated_gradients(model)

    def attribute(inputs: Tensor, target: Tensor | None) -> Tensor:
        pixels = min(inputs.shape[2:]) / 32 if sigma is None else sigma
        return Blur(pixels)(method.maps(inputs, target))[0]

    return Method(attribute)


def integrated_gradients(model: Callable[..., Any]) -> Method:
    """Return integrated gradients of 32 steps from each image's background.

    Args:
        model: The classifier.
    """
    return Method(
        IntegratedGradients(model),
        lambda x: {"baselines": _background(x), "n_steps": N_STEPS, "internal_batch_size": ROWS},
        reduce="abs",
    )


def occlusion(model: Callable[..., Any]) -> Method:
    """Return Occlusion by the background: 9 pixels in steps of 4, at 96 pixels.

    Args:
        model: The classifier.
    """
    return Method(Occlusion(model), _occlusion_arguments)


def grad_cam(model: nn.Module, layer: nn.Module) -> Method:
    """Return Grad-CAM, positive part, enlarged bilinearly.

    Args:
        model: The classifier.
        layer: The layer to look at.
    """
    return Method(LayerGradCam(model, layer), {"relu_attributions": True})


def _gradients(model: Callable[..., Any]) -> dict[str, Method]:
    return {
        "Saliency": Method(Saliency(model), {"abs": False}, reduce="abs"),
        "InputXGradient": Method(InputXGradient(model), reduce="abs"),
        "IntegratedGradients": integrated_gradients(model),
        "IntegratedGradients, smoothed": smoothed_integrated_gradients(model),
        "NoiseTunnel, IntegratedGradients": Method(
            NoiseTunnel(IntegratedGradients(model)), _noise_tunnel_arguments, reduce="abs"
        ),
        "GradientShap": Method(GradientShap(model), _gradient_shap_arguments, reduce="abs"),
    }


def _ablations(model: Callable[..., Any]) -> dict[str, Method]:
    return {
        "Occlusion": occlusion(model),
        "FeatureAblation": Method(FeatureAblation(model), _superpixel_arguments),
        "Lime": Method(Lime(model), _surrogate_arguments),
        "KernelShap": Method(KernelShap(model), _surrogate_arguments),
    }


def _module_methods(model: Callable[..., Any], layer: nn.Module | None) -> dict[str, Method]:
    if not isinstance(model, nn.Module):
        return {}
    methods = {}
    if not isinstance(model, torch.jit.ScriptModule):  # it takes no hooks on its layers
        methods["DeepLift"] = Method(
            DeepLift(model), lambda x: {"baselines": _background(x)}, reduce="abs"
        )
        methods["GuidedBackprop"] = Method(GuidedBackprop(model), reduce="abs")
    if layer is not None:
        methods["GradCam"] = grad_cam(model, layer)
        methods["GuidedGradCam"] = Method(GuidedGradCam(model, layer), reduce="abs")
    return methods


def _background(inputs: Tensor) -> Tensor:
    return Background()(inputs)[0]


def _noise_tunnel_arguments(inputs: Tensor) -> dict[str, Any]:
    # A tenth of the range, as in SmoothGrad (Smilkov et al. 2017, arXiv 1706.03825).
    return {
        "nt_type": "smoothgrad",
        "nt_samples": 8,
        "nt_samples_batch_size": 1,
        "stdevs": 0.1 * float(inputs.max() - inputs.min()),
        "baselines": _background(inputs),
        "n_steps": N_STEPS // 2,
        "internal_batch_size": ROWS,
    }


def _gradient_shap_arguments(inputs: Tensor) -> dict[str, Any]:
    return {
        "baselines": torch.cat([_background(inputs), Blur()(inputs)[0]]),
        "n_samples": 16,
        "stdevs": 0.05 * float(inputs.max() - inputs.min()),
    }


def _occlusion_arguments(inputs: Tensor) -> dict[str, Any]:
    channels, side = inputs.shape[1], min(inputs.shape[2:])
    window, stride = max(1, round(side * 9 / 96)), max(1, round(side * 4 / 96))
    return {
        "sliding_window_shapes": (channels, window, window),
        "strides": (channels, stride, stride),
        "baselines": _background(inputs),
        "perturbations_per_eval": max(1, ROWS // len(inputs)) if not inputs.is_cuda else 1,
    }


def _superpixel_arguments(inputs: Tensor) -> dict[str, Any]:
    return {
        "feature_mask": superpixels(inputs),
        "baselines": _background(inputs),
        "perturbations_per_eval": max(1, ROWS // len(inputs)),
    }


def _surrogate_arguments(inputs: Tensor) -> dict[str, Any]:
    # One image at a time whatever the batch: a surrogate is fitted to each.
    return _superpixel_arguments(inputs) | {"n_samples": N_SAMPLES, "perturbations_per_eval": ROWS}


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
