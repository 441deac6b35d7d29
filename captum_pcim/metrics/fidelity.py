"""Does the map follow the model? Insertion, deletion and pixel flipping."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from captum_pcim.core.checks import check_positive
from captum_pcim.core.scores import ScoreKind
from captum_pcim.metrics.curves import (
    Curve,
    as_baseline_images,
    blend_by_rank,
    call_arguments,
    replacement_scores,
    require_same_images,
)
from captum_pcim.metrics.relevance import pixel_relevance, relevance_ranks


@torch.no_grad()
def insertion(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: Any = None,
    baselines: Tensor | float = 0.0,
    n_points: int = 51,
    additional_forward_args: Any = None,
    perturbations_per_eval: int = 1,
    score: ScoreKind = "logits",
    normalize: bool = False,
    seed: int = 0,
) -> Curve:
    r"""Insertion curve: start from the baseline and put the most relevant pixels in first.

    With r the ranks of the pixels, x the image, b the baseline, P pixels and the score s:
    score(k) = s(b + [r < k] * (x - b)) for k from 0 to P. **Higher AUC is better**; with
    probabilities its range is [0, 1]. Source: RISE, Petsiuk, Das, Saenko (BMVC 2018,
    arXiv 1806.07421), there with a blurred image as the baseline.

    The composed images lie outside the data. Use more than one baseline, and other ones than those
    a map was optimised on.

    Args:
        forward_func: Returns logits of shape (N, K), or (N,) for one logit an image.
        inputs: Images of shape (N, C, H, W).
        attributions: Attributions of shape (N, C, H, W) or (N, 1, H, W), summed over the stains.
            All stains of a pixel are replaced together. Equal values are ordered at random.
        target: Target class in Captum's sense: int, tensor of shape (N,), or None for a
            forward_func with one output.
        baselines: Reference: a number or a tensor that broadcasts to the inputs. Zero is Captum's
            default; it is rarely a neutral image in bright field.
        n_points: Number of points of the curve, both ends included. On images with fewer pixels
            there is one point a pixel.
        additional_forward_args: Further arguments of forward_func.
        perturbations_per_eval: Number of points evaluated in one forward pass; N times as many
            images are held in memory.
        score: What the outputs mean, one of the kinds of :mod:`captum_pcim.core.scores`; the curve
            shows the probability of the target, and of a "regression" the output itself.
        normalize: Rescale so that the empty image scores 0 and the full one 1:
            (score - score_empty) / (score_full - score_empty). The range is no longer bounded, and
            images that score the same full and empty give NaN or infinity.
        seed: Seed of the order of ties.

    Returns:
        `Curve` with fractions (K,) of inserted pixels, scores (N, K) and `auc` (N,).

    Raises:
        ValueError: if shapes do not fit, attributions are not finite or a number is out of range.

    Examples:
        >>> insertion(model, inputs, attributions, target=1, baselines=blurred).auc
    """
    curve = _replacement_curve(
        forward_func,
        start=as_baseline_images(baselines, inputs),
        end=inputs,
        ranks=relevance_ranks(pixel_relevance(attributions), seed),
        target=target,
        n_points=n_points,
        additional_forward_args=additional_forward_args,
        perturbations_per_eval=perturbations_per_eval,
        score=score,
    )
    return _normalized(curve, empty=0, full=-1) if normalize else curve


@torch.no_grad()
def deletion(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: Any = None,
    baselines: Tensor | float = 0.0,
    n_points: int = 51,
    additional_forward_args: Any = None,
    perturbations_per_eval: int = 1,
    score: ScoreKind = "logits",
    normalize: bool = False,
    seed: int = 0,
) -> Curve:
    r"""Deletion curve: start from the image and replace the most relevant pixels first.

    With r the ranks of the pixels, x the image, b the baseline, P pixels and the score s:
    score(k) = s(x + [r < k] * (b - x)) for k from 0 to P. **Lower AUC is better**; with
    probabilities its range is [0, 1]. Source: RISE, Petsiuk, Das, Saenko (BMVC 2018,
    arXiv 1806.07421), there with zero as the baseline.

    Args:
        forward_func: As in `insertion`.
        inputs: Images of shape (N, C, H, W).
        attributions: As in `insertion`.
        target: As in `insertion`.
        baselines: As in `insertion`.
        n_points: As in `insertion`.
        additional_forward_args: As in `insertion`.
        perturbations_per_eval: As in `insertion`.
        score: As in `insertion`.
        normalize: As in `insertion`; the full image is the first point here.
        seed: Seed of the order of ties.

    Returns:
        `Curve` with fractions (K,) of replaced pixels, scores (N, K) and `auc` (N,).

    Raises:
        ValueError: if shapes do not fit, attributions are not finite or a number is out of range.

    Examples:
        >>> deletion(model, inputs, attributions, target=1, baselines=blurred).auc
    """
    curve = _replacement_curve(
        forward_func,
        start=inputs,
        end=as_baseline_images(baselines, inputs),
        ranks=relevance_ranks(pixel_relevance(attributions), seed),
        target=target,
        n_points=n_points,
        additional_forward_args=additional_forward_args,
        perturbations_per_eval=perturbations_per_eval,
        score=score,
    )
    return _normalized(curve, empty=-1, full=0) if normalize else curve


@torch.no_grad()
def pixel_flipping(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: Any = None,
    baselines: Tensor | float = 0.0,
    patch_size: int = 8,
    n_points: int = 51,
    additional_forward_args: Any = None,
    perturbations_per_eval: int = 1,
    score: ScoreKind = "logits",
    seed: int = 0,
) -> Curve:
    r"""Pixel flipping: replace square patches, the one with the largest mean relevance first.

    The curve's `aopc`, 1 / K * sum_k (score_0 - score_k), is the area over the perturbation
    curve; **higher AOPC is better**, its range is [-1, 1] with probabilities. Source: Bach et al.
    (PLOS ONE 2015) for flipping, Samek et al. (IEEE TNNLS 2017, arXiv 1509.06321) for patches and
    AOPC, there with random values as the baseline and the first 100 patches of 9 x 9 pixels.
    With `patch_size=1` the curve is that of `deletion`.

    Args:
        forward_func: As in `insertion`.
        inputs: Images of shape (N, C, H, W).
        attributions: As in `insertion`.
        target: As in `insertion`.
        baselines: As in `insertion`.
        patch_size: Side of a patch in pixels; patches at the lower and right edge may be smaller.
        n_points: As in `insertion`; at most one point a patch.
        additional_forward_args: As in `insertion`.
        perturbations_per_eval: As in `insertion`.
        score: As in `insertion`.
        seed: Seed of the order of ties.

    Returns:
        `Curve` with fractions (K,) of replaced patches, scores (N, K), `aopc` and `auc` (N,).

    Raises:
        ValueError: if shapes do not fit, attributions are not finite or a number is out of range.

    Examples:
        >>> pixel_flipping(model, inputs, attributions, target=1, patch_size=9).aopc
    """
    check_positive("patch_size", patch_size)
    relevance = pixel_relevance(attributions)
    # ceil_mode averages the smaller patches at the edge over the pixels they really have.
    patches = F.avg_pool2d(relevance[:, None], patch_size, ceil_mode=True)[:, 0]
    height, width = relevance.shape[1:]
    ranks = relevance_ranks(patches, seed)
    pixel_ranks = ranks.repeat_interleave(patch_size, 1).repeat_interleave(patch_size, 2)
    return _replacement_curve(
        forward_func,
        start=inputs,
        end=as_baseline_images(baselines, inputs),
        ranks=pixel_ranks[:, :height, :width],
        target=target,
        n_points=n_points,
        additional_forward_args=additional_forward_args,
        perturbations_per_eval=perturbations_per_eval,
        score=score,
    )


def _replacement_curve(
    forward_func: Callable[..., Tensor],
    start: Tensor,
    end: Tensor,
    ranks: Tensor,
    target: Any,
    n_points: int,
    additional_forward_args: Any,
    perturbations_per_eval: int,
    score: ScoreKind,
) -> Curve:
    check_positive("n_points", n_points, least=2)
    require_same_images(ranks, start)
    n_ranks = int(ranks.max()) + 1
    points = torch.linspace(0, n_ranks, n_points, dtype=torch.float32, device=start.device)
    thresholds = torch.unique_consecutive(points.round())
    scores = replacement_scores(
        forward_func,
        blend_by_rank(ranks, thresholds, end, start, perturbations_per_eval),
        call_arguments(forward_func, target, additional_forward_args, start),
        score,
    )
    return Curve(fractions=thresholds.to(scores.dtype) / n_ranks, scores=scores)


def _normalized(curve: Curve, empty: int, full: int) -> Curve:
    at_empty, at_full = curve.scores[:, empty, None], curve.scores[:, full, None]
    return Curve(curve.fractions, (curve.scores - at_empty) / (at_full - at_empty))
