"""Is what a mask preserves evidence, or a pattern that fools this one classifier?"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from captum_pcim.core.reachable import check_mode
from captum_pcim.core.scores import ScoreKind
from captum_pcim.metrics.curves import (
    as_baseline_images,
    call_arguments,
    outputs_of,
    require_same_images,
    target_scores,
)
from captum_pcim.metrics.relevance import pixel_relevance, relevance_ranks
from captum_pcim.metrics.sanity import AttributeFunc


@torch.no_grad()
def second_classifier_agreement(
    second_forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: Any = None,
    baselines: Tensor | float = 0.0,
    fraction: Tensor | float | None = None,
    additional_forward_args: Any = None,
    score: ScoreKind = "logits",
    seed: int = 0,
) -> Tensor:
    r"""Probability that a second classifier gives to what the map preserves.

    p'_c(b + m * (x - b)) with the mask m of the most relevant pixels (see `fraction`) and a
    classifier p' that was trained independently of the explained one. Range [0, 1], **higher is
    better**: evidence convinces both, an adversarial pattern only the model it was made for. Read
    it beside the second classifier's own p'_c(x), which bounds what can be expected.

    Args:
        second_forward_func: A second classifier of the same classes; returns logits.
        inputs: Images of shape (N, C, H, W).
        attributions: Attributions on the first classifier, shape (N, C, H, W) or (N, 1, H, W).
        target: Target class in Captum's sense.
        baselines: Reference: a number or a tensor that broadcasts to the inputs.
        fraction: Fraction of the pixels to preserve, a number or a tensor of shape (N,), in [0, 1].
            None preserves the weight of the map itself: its mean over pixels and stains, for maps
            of weights in [0, 1].
        additional_forward_args: Further arguments of second_forward_func.
        score: What the outputs mean, as in `insertion`.
        seed: Seed of the order of ties.

    Returns:
        Probabilities of shape (N,).

    Raises:
        ValueError: if shapes do not fit, attributions are not finite or `fraction` (or, where it
            is None, the mean weight) lies outside [0, 1].

    Examples:
        >>> maps = PCIM(model).attribute(inputs, target=1)
        >>> second_classifier_agreement(other_model, inputs, maps, target=1, baselines=blurred)
    """
    if fraction is None:
        fraction = _preserved_share(attributions)
    preserved = preserve_most_relevant(inputs, attributions, baselines, fraction, seed)
    arguments = call_arguments(second_forward_func, target, additional_forward_args, inputs)
    return target_scores(second_forward_func, preserved, arguments, score)


def wrong_class_success(
    forward_func: Callable[..., Tensor],
    attribute_func: AttributeFunc,
    inputs: Tensor,
    target: Any,
    wrong_target: Any,
    baselines: Tensor | float = 0.0,
    fraction: Tensor | float | None = None,
    additional_forward_args: Any = None,
    seed: int = 0,
) -> Tensor:
    r"""Whether an equally small mask makes the model see a class that is not there.

    A map is made for `wrong_target`, and as many of its most relevant pixels are preserved as the
    map for `target` needs. Success (1) is argmax f(b + m * (x - b)) = wrong_target, failure is 0;
    the mean over images is the success rate. **Lower is better**: a method that succeeds composes
    adversarial patterns instead of finding evidence.

    Where the baseline alone is already seen as the wrong class, any mask would succeed; such
    images have no answer and give NaN. Choose another wrong class or another baseline for them.

    Args:
        forward_func: Returns logits of shape (N, K), K > 1.
        attribute_func: Called as attribute_func(forward_func, inputs, target), returns attributions
            of shape (N, C, H, W). Called once, or twice if `fraction` is None.
        inputs: Images of shape (N, C, H, W).
        target: The class of the images, int or tensor of shape (N,).
        wrong_target: Another class, int or tensor of shape (N,).
        baselines: Reference: a number or a tensor that broadcasts to the inputs.
        fraction: Fraction of the pixels to preserve, a number or a tensor of shape (N,), in [0, 1].
            None is the mean weight of the map for `target`, for maps of weights in [0, 1].
        additional_forward_args: Further arguments of forward_func.
        seed: Seed of the order of ties.

    Returns:
        Successes of shape (N,), 1, 0 or NaN.

    Raises:
        ValueError: if `wrong_target` equals `target` for an image, forward_func returns a single
            output, shapes do not fit, attributions are not finite or `fraction` lies outside
            [0, 1].

    Examples:
        >>> def explain(model, inputs, target):
        ...     return PCIM(model).attribute(inputs, target=target)
        >>> wrong_class_success(model, explain, inputs, target=1, wrong_target=2, baselines=blurred)
    """
    right, wrong = (
        torch.as_tensor(classes, device=inputs.device).expand(len(inputs))
        for classes in (target, wrong_target)
    )
    if bool((right == wrong).any()):
        number = int(wrong[right == wrong][0])
        raise ValueError(f"wrong_target: expected other classes than target, got {number} for both")
    if fraction is None:
        fraction = _preserved_share(attribute_func(forward_func, inputs, target))
    attributions = attribute_func(forward_func, inputs, wrong_target)
    with torch.no_grad():
        preserved = preserve_most_relevant(inputs, attributions, baselines, fraction, seed)
        success = _predicted(forward_func, preserved, additional_forward_args) == wrong
        references = as_baseline_images(baselines, inputs)
        unanswerable = _predicted(forward_func, references, additional_forward_args) == wrong
    return success.to(inputs.dtype).masked_fill(unanswerable, float("nan"))


def preserve_most_relevant(
    inputs: Tensor,
    attributions: Tensor,
    baselines: Tensor | float,
    fraction: Tensor | float,
    seed: int = 0,
) -> Tensor:
    """Keep the most relevant pixels of each image and take the rest from the baseline.

    Args:
        inputs: Images of shape (N, C, H, W).
        attributions: Attributions of shape (N, C, H, W) or (N, 1, H, W).
        baselines: A number or a tensor that broadcasts to the inputs.
        fraction: Fraction of the pixels to keep, a number or a tensor of shape (N,), in [0, 1];
            rounded to whole pixels.
        seed: Seed of the order of ties.

    Returns:
        Images of shape (N, C, H, W).

    Raises:
        ValueError: if shapes do not fit, attributions are not finite or `fraction` lies outside
            [0, 1].
    """
    references = as_baseline_images(baselines, inputs)
    relevance = pixel_relevance(attributions)
    require_same_images(relevance, inputs)
    fractions = torch.as_tensor(fraction, dtype=relevance.dtype, device=inputs.device)
    if not bool(((fractions >= 0) & (fractions <= 1)).all()):
        raise ValueError(f"fraction: expected numbers in [0, 1], got {fraction}")
    counts = (fractions.expand(len(inputs)) * relevance[0].numel()).round()
    kept = relevance_ranks(relevance, seed) < counts[:, None, None]
    return torch.where(kept[:, None], inputs, references)


def _preserved_share(attributions: Tensor) -> Tensor:
    """Mean of a map of weights, the area that it preserves, shape (N,)."""
    return pixel_relevance(attributions).flatten(1).mean(1) / attributions.shape[1]


def _predicted(
    forward_func: Callable[..., Tensor], images: Tensor, additional_forward_args: Any
) -> Tensor:
    check_mode(forward_func, eval_mode=False)
    outputs = outputs_of(forward_func, images, additional_forward_args)
    if outputs.dim() != 2 or outputs.shape[1] < 2:
        raise ValueError(
            f"forward_func: expected logits of shape (N, K) with K > 1, got {tuple(outputs.shape)}"
        )
    return outputs.argmax(dim=1)
