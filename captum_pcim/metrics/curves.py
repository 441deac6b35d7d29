"""Scores of images in which more and more pixels are replaced, and the curve they form."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor

from captum_pcim._compat import as_tuple, run_forward
from captum_pcim.core.checks import check_choice, check_positive
from captum_pcim.core.network import CallArguments, checked_scores
from captum_pcim.core.reachable import check_mode
from captum_pcim.core.score_checks import check_axes, check_meaning
from captum_pcim.core.scores import ScoreKind, kind_of_scores, read_scores
from captum_pcim.core.targets import (
    check_class_range,
    check_target,
    check_trailing_range,
    select_classes,
)
from captum_pcim.core.warn import warn
from captum_pcim.metrics.relevance import at_least_single, require_tensor


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
        of the curve, of a single point its score. Over fractions from 0 to 1 this is the plain
        area.
        """
        if len(self.fractions) == 1:
            return self.scores[:, 0]
        width = self.fractions[-1] - self.fractions[0]
        return torch.trapezoid(self.scores, self.fractions, dim=1) / width

    @property
    def aopc(self) -> Tensor:
        """Area over the perturbation curve of each image, shape (N,).

        AOPC = 1 / K * sum_k (score_0 - score_k), the mean drop from the first point, from
        Samek et al. (2017). Higher is better when the most relevant pixels go first.
        """
        return (self.scores[:, :1] - self.scores).mean(dim=1)


def call_arguments(
    forward_func: Callable[..., Any], target: Any, additional_forward_args: Any, images: Tensor
) -> CallArguments:
    """Bring together what goes with each image when forward_func is called, if it may be.

    Args:
        forward_func: The network.
        target: Target class in Captum's sense; None for a forward_func with one output an image.
        additional_forward_args: Further arguments of forward_func; tensors with one row an image
            follow their image.
        images: The N images.

    Returns:
        The arguments, which can be repeated along with the images.

    Raises:
        TypeError: if `target` is of no form that Captum knows.
        ValueError: if `target` has neither one element nor one for each image, or the network is
            in training mode.
    """
    check_mode(forward_func, eval_mode=False)  # once, as it looks at all modules
    additional = () if additional_forward_args is None else as_tuple(additional_forward_args)
    n_images = len(images)
    return CallArguments.of(check_target(target, n_images), additional, n_images, images.device)


def outputs_of(
    forward_func: Callable[..., Tensor], images: Tensor, additional_forward_args: Any = None
) -> Tensor:
    """Return the scores of all classes.

    Raises:
        TypeError: if forward_func returns no tensor of real numbers.
        ValueError: if it returns not one row an image.
    """
    return checked_scores(run_forward(forward_func, images, additional_forward_args), len(images))


def target_scores(
    forward_func: Callable[..., Tensor],
    images: Tensor,
    arguments: CallArguments,
    score: ScoreKind = "logits",
) -> Tensor:
    """Score the target class of each image.

    Args:
        forward_func: Returns the scores of all classes, shape (N, K) or (N,).
        images: Images of shape (N, C, H, W).
        arguments: Their targets and further arguments, from `call_arguments`.
        score: What the scores mean, one of the kinds of :mod:`captum_pcim.core.scores`.

    Returns:
        Probabilities of the target, of a "regression" its value, of shape (N,), in single precision
        at least.

    Raises:
        IndexError: if a target is no class of the network.
        ValueError: if `score` is unknown, or the target does not select one output an image.
    """
    check_choice("score", score, get_args(ScoreKind))
    score = kind_of_scores(forward_func, score)
    outputs = outputs_of(forward_func, images, arguments.additional or None)
    check_trailing_range(arguments.chosen, outputs)
    scores, classes = select_classes(outputs, arguments.chosen)
    check_class_range(classes, scores.shape[1])
    if score == "regression":
        return at_least_single(scores).gather(1, classes[:, None])[:, 0]
    check_axes(outputs, score)
    check_meaning(scores, score)
    return read_scores(scores, classes, score).probability


def class_log_odds(outputs: Tensor, score: ScoreKind) -> Tensor:
    """Return the log-odds of every class.

    Args:
        outputs: Scores of shape (N, K), or (N,) for a single one an image.
        score: What they mean, as in `target_scores`.

    Returns:
        Log-odds of shape (N, K).
    """
    scores = outputs[:, None] if outputs.dim() == 1 else outputs
    classes = torch.arange(scores.shape[1], device=scores.device)
    odds = [read_scores(scores, one.expand(len(scores)), score).log_odds for one in classes]
    return torch.stack(odds, dim=1)


def replacement_scores(
    forward_func: Callable[..., Tensor],
    blends: Iterator[Tensor],
    arguments: CallArguments,
    score: ScoreKind,
) -> Tensor:
    """Score stacks of altered images, one forward pass a stack.

    Args:
        forward_func: As in `target_scores`.
        blends: Stacks of altered images, each of shape (k, N, C, H, W).
        arguments: As in `target_scores`, for the N images.
        score: As in `target_scores`.

    Returns:
        Scores of shape (N, K), where K is the number of alterations in all stacks. Images that
        have some that are not finite are warned of: tables leave their measures out.
    """
    parts = [
        target_scores(forward_func, stack.flatten(0, 1), arguments.repeat(len(stack)), score).view(
            stack.shape[:2]
        )
        for stack in blends
    ]
    scores = torch.cat(parts).T
    lost = (~scores.isfinite()).any(1).nonzero().flatten().tolist()
    if lost:
        warn(
            "forward_func: scores of altered copies of {images} are NaN or infinite, so these have "
            "no measure (half precision, or replaced pixels that the network cannot take?)",
            lost,
        )
    return scores


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
    check_positive("perturbations_per_eval", perturbations_per_eval)
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
        TypeError: if the inputs are no tensor, or the baselines neither numbers nor a tensor.
        ValueError: if the inputs are not (N, C, H, W), or the baselines do not broadcast to them
            or are not finite.
    """
    require_tensor("inputs", inputs)
    if inputs.dim() != 4:
        raise ValueError(f"inputs: expected shape (N, C, H, W), got {tuple(inputs.shape)}")
    if baselines is None:
        raise TypeError("baselines: expected a number or a tensor, got None; Captum's default is 0")
    images = torch.as_tensor(baselines, dtype=inputs.dtype, device=inputs.device)
    if not bool(images.isfinite().all()):
        raise ValueError("baselines: expected finite values, got NaN or infinity")
    try:
        return images.expand(inputs.shape)
    except RuntimeError as error:
        raise ValueError(
            f"baselines: expected a shape broadcastable to {tuple(inputs.shape)}, got "
            f"{tuple(images.shape)}"
        ) from error


def require_same_images(relevance: Tensor, inputs: Tensor) -> None:
    """Raise unless the attributions belong to the inputs.

    Args:
        relevance: Relevance of shape (N, H, W).
        inputs: Images of shape (N, C, H, W).

    Raises:
        TypeError: if the inputs are no tensor.
        ValueError: if number or size of the images differ.
    """
    require_tensor("inputs", inputs)
    expected = (inputs.shape[0], *inputs.shape[2:])
    if tuple(relevance.shape) != expected:
        raise ValueError(
            f"attributions: expected {expected[0]} images of {' x '.join(map(str, expected[1:]))} "
            f"as the inputs are, got (N, H, W) = {tuple(relevance.shape)}"
        )
