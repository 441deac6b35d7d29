"""ROAD: fidelity with imputed pixels, which betray the shape of what was removed less."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from captum_pcim.core.checks import check_choice, check_positive
from captum_pcim.core.scores import ScoreKind
from captum_pcim.metrics.curves import (
    Curve,
    call_arguments,
    replacement_scores,
    require_same_images,
)
from captum_pcim.metrics.relevance import pixel_relevance, relevance_ranks

_TENTHS = (10, 20, 30, 40, 50, 60, 70, 80, 90)


@torch.no_grad()
def road(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: Any = None,
    order: Literal["morf", "lerf"] = "morf",
    percentages: Sequence[float] = _TENTHS,
    noise: float = 0.01,
    additional_forward_args: Any = None,
    perturbations_per_eval: int = 1,
    score: ScoreKind = "logits",
    seed: int = 0,
) -> Curve:
    r"""Remove and debias: score images whose pixels are imputed from those that remain.

    The most ("morf") or the least relevant pixels first ("lerf") are removed and filled by noisy
    linear imputation (`impute`). **Lower is better for morf, higher for lerf**; with probabilities
    the range is [0, 1]. Source: Rong et al. (ICML 2022, arXiv 2202.00449), who score accuracy over
    a test set where this scores each image. Nothing is retrained. The shape of what was removed
    still shows where the noise differs from the texture around it.

    Args:
        forward_func: Returns logits of shape (N, K), or (N,) for one logit an image.
        inputs: Images of shape (N, C, H, W).
        attributions: Attributions of shape (N, C, H, W) or (N, 1, H, W), summed over the stains.
            Equal values are ordered at random.
        target: Target class in Captum's sense.
        order: "morf" (most relevant first) or "lerf" (least relevant first).
        percentages: Percentages of the pixels to remove, ascending, at least 0 and below 100.
        noise: Standard deviation of the noise in imputed pixels, in units of the standard
            deviation of each image's stain.
        additional_forward_args: Further arguments of forward_func.
        perturbations_per_eval: Number of percentages imputed and evaluated together.
        score: What the outputs mean, as in `insertion`.
        seed: Seed of the noise (the same for each image) and of the order of ties.

    Returns:
        `Curve` with fractions (K,) of removed pixels, scores (N, K) and `auc` (N,), its mean
        height over the percentages.

    Raises:
        ValueError: if shapes do not fit, attributions are not finite, or order or percentages are
            not as described.

    Examples:
        >>> road(model, inputs, attributions, target=1, order="lerf").auc
    """
    check_choice("order", order, ("morf", "lerf"))
    check_positive("perturbations_per_eval", perturbations_per_eval)
    relevance = pixel_relevance(attributions)
    require_same_images(relevance, inputs)
    ranks = relevance_ranks(relevance if order == "morf" else -relevance, seed)
    n_pixels = relevance[0].numel()
    counts = _pixel_counts(percentages, n_pixels).to(inputs.device)
    spread = noise * inputs.std(dim=(2, 3), keepdim=True) * _noise(inputs, seed)

    def imputed() -> Iterator[Tensor]:
        for chunk in torch.split(counts, perturbations_per_eval):
            removed = ranks[None, :, None] < chunk.view(-1, 1, 1, 1, 1)
            images = inputs.expand(len(chunk), *inputs.shape)
            filled = impute(images.flatten(0, 1), removed.flatten(0, 1)).view_as(images)
            yield torch.where(removed, filled + spread, filled)

    arguments = call_arguments(forward_func, target, additional_forward_args, inputs)
    scores = replacement_scores(forward_func, imputed(), arguments, score)
    return Curve(fractions=counts.to(scores.dtype) / n_pixels, scores=scores)


@torch.no_grad()
def impute(
    images: Tensor, removed: Tensor, tolerance: float = 1e-4, max_iterations: int = 10_000
) -> Tensor:
    r"""Fill removed pixels so that each is the weighted mean of its eight neighbours.

    Linear imputation of Rong et al. (2022): x_p = sum_q w_pq x_q, with w = 1/6 for the four direct
    and 1/12 for the four diagonal neighbours, rescaled to sum to 1 at the edge of the image. Pixels
    that remain are fixed. The system is symmetric and positive definite; conjugate gradients solve
    it for all images and stains at once, starting from the solution at half the size. Each image
    stops on its own, so the result does not depend on the batch.

    Args:
        images: Images of shape (N, C, H, W).
        removed: Pixels to fill, bool, shape (N, 1, H, W). At least one pixel of an image remains.
        tolerance: Residual to stop at, relative to that of filling in the stain's mean. The default
            leaves errors below 0.01 standard deviations in holes of up to 200 pixels.
        max_iterations: Upper limit of the iterations.

    Returns:
        Filled images of shape (N, C, H, W), in the dtype of `images`.
    """
    # Double precision: the condition number grows with the area of a hole.
    exact = torch.float32 if images.device.type == "mps" else torch.float64
    known = images.to(exact) * ~removed
    weight_sum = _neighbour_sum(torch.ones_like(known[:1, :1]))

    def residual_operator(values: Tensor) -> Tensor:
        return removed * (weight_sum * values - _neighbour_sum(values))

    right_side = removed * _neighbour_sum(known)
    mean_filled = removed * _known_mean(known, removed)
    goal = tolerance**2 * _squared(right_side - residual_operator(mean_filled))
    solution = removed * _coarse_filling(known, removed, tolerance)
    residual = right_side - residual_operator(solution)
    direction = residual
    energy = _squared(residual)
    for iteration in range(max_iterations):
        # Asking the device whether all are done stalls it, so ask now and then only.
        if iteration % 10 == 0 and bool((energy <= goal).all()):
            break
        image = residual_operator(direction)
        step = _divide(energy, (direction * image).sum(dim=(2, 3), keepdim=True)).where(
            energy > goal, 0.0
        )
        solution = solution + step * direction
        residual = residual - step * image
        previous, energy = energy, _squared(residual)
        direction = residual + _divide(energy, previous) * direction
    return torch.where(removed, solution.to(images.dtype), images)


def _neighbour_sum(values: Tensor) -> Tensor:
    # The kernel is the product of (1, 2, 1) with itself, less its centre; shifted sums take
    # less than half the time of conv2d here.
    padded = F.pad(values, (1, 1, 1, 1))
    rows = padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]
    square = rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]
    return (square - 4 * values) / 12


def _known_mean(known: Tensor, removed: Tensor) -> Tensor:
    n_known = (~removed).sum(dim=(2, 3), keepdim=True).clamp(min=1)
    return known.sum(dim=(2, 3), keepdim=True) / n_known


def _coarse_filling(known: Tensor, removed: Tensor, tolerance: float) -> Tensor:
    """Fill an image of half the size and enlarge it: conjugate gradients are slow at wide holes."""
    if min(known.shape[2:]) < 8:
        return _known_mean(known, removed).expand_as(known)
    share = F.avg_pool2d((~removed).to(known.dtype), 2, ceil_mode=True)
    coarse = F.avg_pool2d(known, 2, ceil_mode=True) / share.clamp(min=1e-12)
    filled = impute(coarse, share == 0, tolerance)
    return F.interpolate(filled, size=known.shape[2:], mode="bilinear", align_corners=False)


def _squared(values: Tensor) -> Tensor:
    return values.square().sum(dim=(2, 3), keepdim=True)


def _divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    return torch.where(denominator > 0, numerator / denominator, torch.zeros_like(numerator))


def _pixel_counts(percentages: Sequence[float], n_pixels: int) -> Tensor:
    values = torch.as_tensor(list(percentages), dtype=torch.float64)
    ascending = bool((values.diff() > 0).all())
    if not (len(values) and ascending and values[0] >= 0 and values[-1] < 100):
        raise ValueError(
            f"percentages: expected ascending numbers from 0 to below 100, got {list(percentages)}"
        )
    # One pixel must remain to impute the others from.
    return (values / 100 * n_pixels).round().clamp(max=n_pixels - 1)


def _noise(inputs: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(inputs.shape[1:], generator=generator, dtype=torch.float32)
    return noise.to(inputs)
