"""Scores of images in which more and more pixels are replaced, and the curve they form."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from captum._utils.common import (
    _expand_additional_forward_args,
    _expand_target,
    _format_additional_forward_args,
    _select_targets,
)
from torch import Tensor

from captum_pcim.metrics.relevance import at_least_single

Score = Literal["probability", "output"]


@dataclass(frozen=True)
class Curve:
    """Scores of the target while pixels are inserted, deleted or imputed.

    Attributes:
        fractions: Fractions of the pixels that were inserted or replaced, ascending, shape (K,).
        scores: Score of the target at each fraction, shape (N, K).
    """

    fractions: Tensor
    scores: Tensor

    @property
    def auc(self) -> Tensor:
        """Area under the curve of each image, shape (N,).

        The trapezoid rule over the fractions, divided by the width of their range: the mean height
        of the curve. Over fractions from 0 to 1 this is the plain area.
        """
        width = self.fractions[-1] - self.fractions[0]
        return torch.trapezoid(self.scores, self.fractions, dim=1) / width

    @property
    def aopc(self) -> Tensor:
        """Area over the perturbation curve of each image, shape (N,).

        AOPC = 1 / K * sum_k (score_0 - score_k), the mean drop from the first point, from
        Samek et al. (2017). Higher is better when the most relevant pixels go first.
        """
        return (self.scores[:, :1] - self.scores).mean(dim=1)


def target_scores(
    forward_func: Callable[..., Tensor],
    images: Tensor,
    target: Any,
    additional_forward_args: Any = None,
    score: Score = "probability",
) -> Tensor:
    """Score the target class of each image.

    Args:
        forward_func: Returns logits (or, with `score="output"`, the score itself), shape (N, K) or
            (N,).
        images: Images of shape (N, C, H, W).
        target: Target class in Captum's sense; None for a forward_func with one output an image.
        additional_forward_args: Further arguments of forward_func.
        score: "probability" turns logits into probabilities, by softmax over several classes and
            by the sigmoid for a single logit; "output" takes what forward_func returns, for models
            that already return probabilities.

    Returns:
        Scores of shape (N,).

    Raises:
        ValueError: if `score` is unknown, or the outputs do not give one number an image.
    """
    if score not in ("probability", "output"):
        raise ValueError(f'score must be "probability" or "output", got {score!r}')
    arguments = _format_additional_forward_args(additional_forward_args) or ()
    outputs = at_least_single(forward_func(images, *arguments))
    if score == "probability":
        outputs = as_probabilities(outputs)
    selected: Tensor = _select_targets(outputs, target)
    if selected.numel() != images.shape[0]:
        raise ValueError(
            f"target must select one output an image, got {tuple(selected.shape)} "
            f"for {images.shape[0]} images"
        )
    return selected.reshape(-1)


def as_probabilities(logits: Tensor) -> Tensor:
    """Turn logits into probabilities.

    Args:
        logits: Logits of shape (N, K), or (N,) or (N, 1) for a single logit an image.

    Returns:
        Softmax over K > 1 classes or the sigmoid of a single logit, same shape.
    """
    single = logits.dim() == 1 or logits.shape[1] == 1
    return logits.sigmoid() if single else logits.softmax(dim=1)


def replacement_scores(
    forward_func: Callable[..., Tensor],
    blends: Iterator[Tensor],
    target: Any,
    additional_forward_args: Any,
    score: Score,
) -> Tensor:
    """Score stacks of altered images, one forward pass a stack.

    Args:
        forward_func: As in `target_scores`.
        blends: Stacks of altered images, each of shape (k, N, C, H, W).
        target: As in `target_scores`, for the N images.
        additional_forward_args: As in `target_scores`, for the N images.
        score: As in `target_scores`.

    Returns:
        Scores of shape (N, K), where K is the number of alterations in all stacks.
    """
    additional_forward_args = _format_additional_forward_args(additional_forward_args)
    scores = []
    for stack in blends:
        n_alterations, n_images = stack.shape[:2]
        stack_scores = target_scores(
            forward_func,
            stack.flatten(0, 1),
            _expand_target(target, n_alterations),
            _expand_additional_forward_args(additional_forward_args, n_alterations),
            score,
        )
        scores.append(stack_scores.reshape(n_alterations, n_images))
    return torch.cat(scores).T


def blend_by_rank(
    ranks: Tensor,
    thresholds: Tensor,
    leading: Tensor,
    remaining: Tensor,
    perturbations_per_eval: int,
) -> Iterator[Tensor]:
    """Compose images of two sources: pixels ranked below a threshold come from the first.

    Args:
        ranks: Ranks of shape (N, H, W).
        thresholds: Ranks to stop at, shape (K,).
        leading: Images of shape (N, C, H, W) that the pixels with lower ranks are taken from.
        remaining: Images of shape (N, C, H, W) that the other pixels are taken from.
        perturbations_per_eval: Number of thresholds in one stack.

    Yields:
        Stacks of shape (k, N, C, H, W) with k <= `perturbations_per_eval`.

    Raises:
        ValueError: if `perturbations_per_eval` is less than 1.
    """
    if perturbations_per_eval < 1:
        raise ValueError(f"perturbations_per_eval must be at least 1, got {perturbations_per_eval}")
    for chunk in torch.split(thresholds, perturbations_per_eval):
        chosen = ranks[None, :, None] < chunk.view(-1, 1, 1, 1, 1)
        yield torch.where(chosen, leading, remaining)


def as_baseline_images(baselines: Tensor | float, inputs: Tensor) -> Tensor:
    """Expand baselines to one image an input.

    Args:
        baselines: A number, or a tensor that broadcasts to the inputs.
        inputs: Images of shape (N, C, H, W).

    Returns:
        Baselines of shape (N, C, H, W), on the inputs' device and in their dtype.

    Raises:
        ValueError: if the inputs are not (N, C, H, W) or the baselines do not broadcast to them.
    """
    if inputs.dim() != 4:
        raise ValueError(f"inputs must have shape (N, C, H, W), got {tuple(inputs.shape)}")
    images = torch.as_tensor(baselines, dtype=inputs.dtype, device=inputs.device)
    try:
        return images.expand(inputs.shape)
    except RuntimeError as error:
        raise ValueError(
            f"baselines must broadcast to the inputs' shape {tuple(inputs.shape)}, "
            f"got {tuple(images.shape)}"
        ) from error


def require_same_images(relevance: Tensor, inputs: Tensor) -> None:
    """Raise unless the attributions belong to the inputs.

    Args:
        relevance: Relevance of shape (N, H, W).
        inputs: Images of shape (N, C, H, W).

    Raises:
        ValueError: if number or size of the images differ.
    """
    expected = (inputs.shape[0], *inputs.shape[2:])
    if tuple(relevance.shape) != expected:
        raise ValueError(
            f"attributions must belong to the inputs: expected {expected[0]} images of "
            f"{' x '.join(map(str, expected[1:]))}, got (N, H, W) = {tuple(relevance.shape)}"
        )
