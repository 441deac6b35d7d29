"""The rivals of PCIM, each with the forms that it may be compared in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from benchmarks.quality.panels import background
from benchmarks.rivals.cam_products import grad_cam_product, hirescam_product
from benchmarks.rivals.igos import STEP_SIZES, igos
from benchmarks.rivals.rise import rise
from captum_pcim.comparison import FORMS, Method, captum_methods
from captum_pcim.comparison.methods import gradient_methods, reduced

Forms = Mapping[str, Method]
"""By its name each form of one method."""

PLAIN = "plain"  # the form of methods that have only one
RIVALS = (
    "Saliency", "InputXGradient", "IntegratedGradients", "IntegratedGradients, log-odds",
    "GradientShap", "DeepLift", "GuidedBackprop", "GuidedGradCam", "GradCam",
    "HiResCAM product", "GradCam product", "iGOS++", "FeatureAblation", "Occlusion",
    "NoiseTunnel, IntegratedGradients", "Lime", "KernelShap", "RISE",
)  # fmt: skip
"""All of them; those from FeatureAblation on take more passes than PCIM."""


def rivals(model: nn.Module) -> dict[str, Forms]:
    """All rivals by name.

    Args:
        model: A network of :mod:`captum_pcim.synthetic`, or one around it.
    """
    layer = _last_stage(model)
    gradients = gradient_methods(model, layer)
    found: dict[str, Forms] = {
        name: {form: replace(method, reduce=form) for form in FORMS}
        for name, method in gradients.items()
    }
    found["iGOS++"] = {f"step {size:g}": Method(_igos(model, size)) for size in STEP_SIZES}
    others = {
        name: method
        for name, method in captum_methods(model, layer).items()
        if name not in gradients
    }
    others["HiResCAM product"] = Method(lambda x, target: hirescam_product(model, x, target))
    others["GradCam product"] = Method(lambda x, target: grad_cam_product(model, x, target))
    others["RISE"] = Method(lambda x, target: rise(model, x, target, background(x)))
    return found | {name: {PLAIN: method} for name, method in others.items()}


def maps_of(forms: Forms, inputs: Tensor, target: Tensor, batch_size: int = 8) -> dict[str, Tensor]:
    """The maps of all forms; what forms share is computed once.

    Args:
        forms: Of one method.
        inputs: Images (N, C, H, W).
        target: Classes (N,).
        batch_size: Images that a method is given at once.
    """
    shared: dict[int, Tensor] = {}
    maps = {}
    for name, method in forms.items():
        key = id(method.attribution)
        if key not in shared:
            torch.manual_seed(0)
            pairs = zip(inputs.split(batch_size), target.split(batch_size), strict=True)
            shared[key] = torch.cat([method.attributions(*pair) for pair in pairs])
        maps[name] = reduced(shared[key], method.reduce)
    return maps


def _igos(model: nn.Module, step_size: float) -> Callable[..., Tensor]:
    return lambda inputs, target: igos(model, inputs, target, step_size)


def _last_stage(model: nn.Module) -> nn.Module:
    network = getattr(model, "network", model)
    layer: nn.Module = network.stages[-1] if hasattr(network, "stages") else network.layers[-1]
    return layer
