"""SaCo: do salience and influence agree, pair by pair of pixel groups?"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from captum_pcim.core.checks import check_positive
from captum_pcim.core.scores import ScoreKind
from captum_pcim.metrics.curves import (
    as_baseline_images,
    call_arguments,
    replacement_scores,
    require_same_images,
    target_scores,
)
from captum_pcim.metrics.relevance import pixel_relevance, relevance_ranks


@torch.no_grad()
def saco(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: Any = None,
    baselines: Tensor | float | None = None,
    n_groups: int = 10,
    additional_forward_args: Any = None,
    perturbations_per_eval: int = 1,
    score: ScoreKind = "logits",
    seed: int = 0,
) -> Tensor:
    r"""Salience-guided faithfulness coefficient.

    The pixels are cut into K groups of equal size by rank. With the salience s_i of group i (its
    mean relevance) and its influence d_i = score(x) - score(x without group i), each pair i < j
    adds s_i - s_j if d_i >= d_j and -(s_i - s_j) otherwise; the sum is divided by
    sum_{i<j} |s_i - s_j|. Range [-1, 1], **higher is better**, about 0 for random maps. Source:
    Wu et al. (CVPR 2024, arXiv 2404.01415). They sum the salience of a group, which differs by a
    constant factor that cancels.

    Args:
        forward_func: Returns logits of shape (N, K), or (N,) for one logit an image.
        inputs: Images of shape (N, C, H, W).
        attributions: Attributions of shape (N, C, H, W) or (N, 1, H, W), summed over the stains.
            Equal values are ordered at random.
        target: Target class in Captum's sense.
        baselines: What replaces a group: a number or a tensor that broadcasts to the inputs. None
            is the mean of each image's stain, as in the paper.
        n_groups: Number of groups K.
        additional_forward_args: Further arguments of forward_func.
        perturbations_per_eval: Number of groups evaluated in one forward pass.
        score: What the outputs mean, as in `insertion`.
        seed: Seed of the order of ties.

    Returns:
        Coefficients of shape (N,); 0 where all groups are equally salient.

    Raises:
        ValueError: if shapes do not fit, attributions are not finite or a number is out of range.

    Examples:
        >>> saco(model, inputs, attributions, target=1)
    """
    relevance = pixel_relevance(attributions)
    require_same_images(relevance, inputs)
    n_pixels = relevance[0].numel()
    if not 2 <= n_groups <= n_pixels:
        raise ValueError(f"n_groups: expected 2 to {n_pixels}, as many as pixels, got {n_groups}")
    check_positive("perturbations_per_eval", perturbations_per_eval)
    means = inputs.mean(dim=(2, 3), keepdim=True)
    references = as_baseline_images(means if baselines is None else baselines, inputs)
    groups = relevance_ranks(relevance, seed) * n_groups // n_pixels

    def without_groups() -> Iterator[Tensor]:
        labels = torch.arange(n_groups, device=inputs.device)
        for chunk in torch.split(labels, perturbations_per_eval):
            removed = groups[None, :, None] == chunk.view(-1, 1, 1, 1, 1)
            yield torch.where(removed, references, inputs)

    arguments = call_arguments(forward_func, target, additional_forward_args, inputs)
    full = target_scores(forward_func, inputs, arguments, score)
    altered = replacement_scores(forward_func, without_groups(), arguments, score)
    return _agreement(_group_means(relevance, groups, n_groups), full[:, None] - altered)


def _group_means(relevance: Tensor, groups: Tensor, n_groups: int) -> Tensor:
    sums = relevance.new_zeros(len(relevance), n_groups)
    sums.scatter_add_(1, groups.flatten(1), relevance.flatten(1))
    sizes = torch.bincount(groups[0].flatten(), minlength=n_groups)
    return sums / sizes


def _agreement(salience: Tensor, influence: Tensor) -> Tensor:
    first, second = torch.triu_indices(
        salience.shape[1], salience.shape[1], offset=1, device=salience.device
    )
    difference = salience[:, first] - salience[:, second]
    agrees = influence[:, first] >= influence[:, second]
    total = difference.abs().sum(1)
    signed = torch.where(agrees, difference, -difference).sum(1)
    return torch.where(total > 0, signed / total, torch.zeros_like(total))
