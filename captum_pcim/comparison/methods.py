"""Methods to compare: what a method is, and Captum's own in settings that suit images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from captum.attr import (
    Attribution,
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

from captum_pcim.comparison.captum_arguments import (
    background,
    gradient_shap_arguments,
    integrated_gradients_arguments,
    noise_tunnel_arguments,
    occlusion_arguments,
    superpixel_arguments,
    surrogate_arguments,
)
from captum_pcim.comparison.captum_arguments import superpixels as superpixels
from captum_pcim.core.references import Blur
from captum_pcim.core.scores import ScoreKind, kind_of_scores
from captum_pcim.metrics.curves import class_log_odds

Reduction = Literal["signed", "positive", "abs", "positive, smoothed", "abs, smoothed"]
FORMS: tuple[Reduction, ...] = ("positive", "abs", "positive, smoothed", "abs, smoothed")
"""The forms that a gradient can take as a map; which is best depends on network and images."""


def reduced(attributions: Tensor, reduce: Reduction) -> Tensor:
    """Reduce attributions over the stains to one map per image.

    Args:
        attributions: Attributions of shape (N, C, H, W).
        reduce: "signed" is the mean over the stains, and "positive" its positive part, what
            speaks for the target. "abs" is the mean magnitude, as is usual for gradients, which
            counts evidence against the target as evidence. ", smoothed" blurs either by a Gaussian
            of 1/32 of the shorter side, the middle one of those that smooth PCIM's weights.

    Returns:
        Maps of shape (N, 1, H, W).
    """
    part, _, smoothed = reduce.partition(", ")
    maps = (attributions.abs() if part == "abs" else attributions).mean(1, keepdim=True)
    if part == "positive":
        maps = maps.clamp(min=0)
    return Blur(min(maps.shape[2:]) / 32)(maps)[0] if smoothed else maps


@dataclass(frozen=True)
class Method:
    """A method to compare, with its arguments and how its attributions become one map per image.

    Args:
        attribution: An object with Captum's `attribute(inputs, target=..., ...)`, or a function
            of (inputs, target=...). Attributions of a lower resolution than the inputs, as those
            of LayerGradCam, are enlarged bilinearly.
        arguments: Further keyword arguments, or a function that makes them from a batch of
            inputs, for arguments that have one row per image.
        reduce: How attributions become a map, see :func:`reduced`.
    """

    attribution: Attribution | Callable[..., Tensor]
    arguments: Mapping[str, Any] | Callable[[Tensor], Mapping[str, Any]] = field(
        default_factory=dict
    )
    reduce: Reduction = "signed"

    def __post_init__(self) -> None:
        """Check what can be checked before any method runs."""
        if self.reduce not in get_args(Reduction):
            raise ValueError(
                f"reduce: expected one of {list(get_args(Reduction))}, got {self.reduce!r}"
            )
        if not callable(getattr(self.attribution, "attribute", self.attribution)):
            raise TypeError(
                "methods: expected objects with attribute(inputs, target=...) or functions, got "
                f"{type(self.attribution).__name__}"
            )

    def attributions(self, inputs: Tensor, target: Tensor | None) -> Tensor:
        """Run the method on a batch.

        Args:
            inputs: Images of shape (N, C, H, W).
            target: Classes of shape (N,), or None for a network with a single output.

        Returns:
            Attributions of the images' size, of shape (N, C, H, W) or (N, 1, H, W).

        Raises:
            TypeError: If the method returns anything else, such as a pair with diagnostics.
        """
        arguments = self.arguments(inputs) if callable(self.arguments) else self.arguments
        attribute = getattr(self.attribution, "attribute", self.attribution)
        found = attribute(inputs, target=target, **arguments)
        if not isinstance(found, Tensor) or found.ndim != 4 or len(found) != len(inputs):
            came = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise TypeError(
                f"methods: expected attributions ({len(inputs)}, C, H, W) of "
                f"{type(self.attribution).__name__}, got {came}"
            )
        found = found.detach()
        if found.shape[2:] == inputs.shape[2:]:
            return found
        return F.interpolate(found, size=inputs.shape[2:], mode="bilinear", align_corners=False)

    def maps(self, inputs: Tensor, target: Tensor | None) -> Tensor:
        """Run the method on a batch and reduce what it returns to maps (N, 1, H, W)."""
        return reduced(self.attributions(inputs, target), self.reduce)


def as_method(value: Any) -> Method:
    """Return a method from any of the forms that :func:`compare` takes.

    Raises:
        TypeError: If it is none of them.
    """
    if isinstance(value, Method):
        return value
    if isinstance(value, tuple) and len(value) == 2:
        return Method(*value)
    return Method(value)


class LogOdds(nn.Module):
    """A classifier whose scores are each class's log-odds, which do not saturate near 1.

    Args:
        forward_func: The classifier.
        score: What its scores mean, see :mod:`captum_pcim.core.scores`.
    """

    def __init__(self, forward_func: Callable[..., Tensor], score: ScoreKind = "logits") -> None:
        """Keep the classifier."""
        super().__init__()
        self.forward_func, self.score = forward_func, kind_of_scores(forward_func, score)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return log-odds (N, K) of inputs (N, C, H, W)."""
        return class_log_odds(self.forward_func(inputs), self.score)


def captum_methods(
    model: Callable[..., Any],
    layer: nn.Module | None = None,
    reduce: Reduction = "positive, smoothed",
    score: ScoreKind = "logits",
) -> dict[str, Method]:
    """Return Captum's methods in image settings, by name.

    Ablations and Grad-CAM keep their sign; gradients take the form that is asked for. DeepLift
    and guided backpropagation need the network's rectifiers to be modules of their own
    (`torch.nn.ReLU`); where they are functions, Captum falls back to the plain gradient there.

    Args:
        model: The classifier. Where it is not a module, the methods that need one are left out:
            DeepLift and guided backpropagation.
        layer: Layer for Grad-CAM and guided Grad-CAM, usually the last convolution; without it they
            are left out.
        reduce: Form of the gradients' maps. A fair comparison tries all of :data:`FORMS`, on images
            that it does not report on.
        score: What the classifier's scores mean, for the gradients of its log-odds.

    Returns:
        Methods for :func:`captum_pcim.comparison.compare`.

    Examples:
        >>> compare({"PCIM": PCIM(model)} | captum_methods(model, model.stages[-1]), inputs, 1)
    """
    gradients = gradient_methods(model, layer, score)
    methods = {name: replace(method, reduce=reduce) for name, method in gradients.items()}
    methods |= _ablations(model)
    if layer is not None and isinstance(model, nn.Module):
        methods["GradCam"] = grad_cam(model, layer)
    return methods


def integrated_gradients(
    model: Callable[..., Any], reduce: Reduction = "positive, smoothed"
) -> Method:
    """Return integrated gradients of 32 steps from each image's background.

    Args:
        model: The classifier.
        reduce: Form of the map, see :func:`reduced`.
    """
    return Method(IntegratedGradients(model), integrated_gradients_arguments, reduce)


def occlusion(model: Callable[..., Any]) -> Method:
    """Return Occlusion by the background: 9 pixels in steps of 4, at 96 pixels.

    Args:
        model: The classifier.
    """
    return Method(Occlusion(model), occlusion_arguments)


def grad_cam(model: nn.Module, layer: nn.Module) -> Method:
    """Return Grad-CAM, positive part, enlarged bilinearly.

    Args:
        model: The classifier.
        layer: The layer to look at.
    """
    return Method(LayerGradCam(model, layer), {"relu_attributions": True})


def gradient_methods(
    model: Callable[..., Any], layer: nn.Module | None = None, score: ScoreKind = "logits"
) -> dict[str, Method]:
    """Return Captum's methods whose attributions are gradients of some kind, with their sign.

    Args:
        model: As in :func:`captum_methods`.
        layer: As in :func:`captum_methods`.
        score: As in :func:`captum_methods`.
    """
    methods = {
        "Saliency": Method(Saliency(model), {"abs": False}),
        "InputXGradient": Method(InputXGradient(model)),
        "IntegratedGradients": integrated_gradients(model, "signed"),
        "IntegratedGradients, log-odds": integrated_gradients(LogOdds(model, score), "signed"),
        "NoiseTunnel, IntegratedGradients": Method(
            NoiseTunnel(IntegratedGradients(model)), noise_tunnel_arguments
        ),
        "GradientShap": Method(GradientShap(model), gradient_shap_arguments),
    }
    # TorchScript takes no hooks on its layers.
    if isinstance(model, nn.Module) and not isinstance(model, torch.jit.ScriptModule):
        methods["DeepLift"] = Method(DeepLift(model), lambda x: {"baselines": background(x)})
        methods["GuidedBackprop"] = Method(GuidedBackprop(model))
        if layer is not None:
            methods["GuidedGradCam"] = Method(GuidedGradCam(model, layer))
    return methods


def _ablations(model: Callable[..., Any]) -> dict[str, Method]:
    return {
        "Occlusion": occlusion(model),
        "FeatureAblation": Method(FeatureAblation(model), superpixel_arguments),
        "Lime": Method(Lime(model), surrogate_arguments),
        "KernelShap": Method(KernelShap(model), surrogate_arguments),
    }
