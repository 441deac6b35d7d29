"""Scores that contradict what was said of them, or look like something else."""

import torch
from torch import Tensor

from captum_pcim.core.scores import ScoreKind
from captum_pcim.core.warn import warn

PERCENT = 50.0  # what is recognised has more than half of a hundred; logits hardly ever do


def check_meaning(scores: Tensor, kind: ScoreKind) -> None:
    """Refuse scores that contradict what was said of them; warn of those that look like others.

    Args:
        scores (Tensor): What the network returned for images, of shape (N, K). Those of an image
            that are NaN say nothing.
        kind (str): What was said they mean.

    Raises:
        ValueError: If they cannot mean that.
    """
    scores = scores[~scores.isnan().any(1)]
    if len(scores) == 0:
        return
    low, high = float(scores.min()), float(scores.max())
    sums = scores.float().sum(1)
    shares = low >= 0 and high <= 1
    whole = scores.shape[1] > 1 and bool(((sums - 1).abs() < 1e-2).all())
    hundred = scores.shape[1] > 1 and low >= 0 and bool(((sums - 100).abs() < 1).all())
    percent = low >= 0 and PERCENT <= high <= 100
    if kind in ("probabilities", "binary_probabilities"):
        _check_probabilities(kind, low, high, whole, hundred, scores.shape[1])
    elif kind == "regression":
        return
    elif hundred:
        _warn_of_kind(kind, "percentages (summing to 100)", "probabilities", "divided by 100")
    elif percent:
        meant = "probabilities" if scores.shape[1] == 1 else "binary_probabilities"
        _warn_of_kind(kind, "percentages (all in [0, 100])", meant, "divided by 100")
    elif kind == "logits" and shares and whole:
        _warn_of_kind(kind, "probabilities (in [0, 1], summing to 1)", "probabilities")
    elif shares and high > low:
        meant = "probabilities" if scores.shape[1] == 1 else "binary_probabilities"
        _warn_of_kind(kind, "probabilities (all in [0, 1])", meant)


def check_axes(output: Tensor, kind: ScoreKind) -> None:
    """Warn where it is not certain which axis the classes are on.

    Args:
        output (Tensor): What the network returned, of shape (N, K, ...).
        kind (str): What its scores mean; only classes that exclude each other share an axis.
    """
    if output.ndim == 3 and output.shape[1] > 1 and kind in ("logits", "probabilities"):
        warn(
            f"target: forward_func returns scores of shape {tuple(output.shape)}; their second "
            "axis is taken for the classes and the last one for places, as in target=(class, "
            "place). Where the classes stand last, as in (N, heads, classes), pass a function "
            "that selects the head: PCIM(lambda images: model(images)[:, head])"
        )


def _check_probabilities(
    kind: str, low: float, high: float, whole: bool, hundred: bool, n_classes: int
) -> None:
    tolerance = 1e-3  # of half precision
    if low < -tolerance or high > 1 + tolerance:
        advice = "divide them by 100" if hundred else 'if they are logits, use score="logits"'
        raise ValueError(
            f'score: "{kind}" was said, but the scores range from {low:.3g} to {high:.3g}, which '
            f"probabilities do not; {advice}"
        )
    if kind == "probabilities" and n_classes > 1 and not whole:
        raise ValueError(
            'score: "probabilities" was said, but the scores of an image do not sum to 1; for '
            'independent sigmoids use score="binary_probabilities"'
        )


def is_rounded_up(scores: Tensor, classes: Tensor, kind: ScoreKind) -> Tensor:
    """Tell which images' probability is 1 to its last digits: what it lacks has no gradient left.

    Args:
        scores (Tensor): As the network returned them, of shape (N, K).
        classes (Tensor): The class of each image, of shape (N,).
        kind (str): What scores mean.

    Returns:
        Tensor: True or False, of shape (N,).
    """
    own = scores.gather(1, classes.unsqueeze(1)).squeeze(1)
    if kind == "probabilities" and scores.shape[1] > 1:
        others = scores.scatter(1, classes.unsqueeze(1), 0.0).sum(1)
        return others < torch.finfo(scores.dtype).tiny
    if kind in ("probabilities", "binary_probabilities"):
        return own > 1 - 4 * torch.finfo(scores.dtype).eps
    return torch.zeros_like(own, dtype=torch.bool)


def _warn_of_kind(said: str, looks_like: str, kind: str, how: str = "") -> None:
    warn(
        f'score: "{said}" was said or is the default, but the scores look like {looks_like}; if '
        f'they are, use score="{kind}"{f" and scores {how}" if how else ""}'
    )
