"""Asking the network before it is explained: is there a gradient, and does an image score alike?

A pass of two rows, the first image and a half blend of it, and one of the half blend alone answer
both: an image that the network is sure of may score alike whatever stands beside it, where its
blends do not. Only what is suspicious costs more.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from captum_pcim._errors import describe
from captum_pcim.core.blending import blend
from captum_pcim.core.chunks import is_out_of_memory
from captum_pcim.core.problem import Images, Problem
from captum_pcim.core.scores import read_scores, select_classes
from captum_pcim.core.warn import warn

REPEATS = 8  # of an image in one batch: they score alike but where chance has a hand in it
COUPLED = 0.1  # by which log-odds differ where the others decide so much that a map means nothing


class NoGradient(Exception):  # noqa: N818 - a finding, not an error
    """Autograd gives no gradient of the scores.

    Args:
        cause (str): What was found.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


def check_gradient(problem: Problem, images: Images, rounding: float) -> int:
    """See that autograd follows the scores back to the first image, and that it scores alike.

    An image can be without a gradient in a network that has one, so the others are asked before
    the network is said to have none.

    Args:
        problem (Problem): The network and what its scores mean.
        images (Images): The first chunk; its full images have been scored together.
        rounding (float): By which log-odds may differ between two calls, as a share of their size.

    Returns:
        int: Rows that were scored.

    Raises:
        NoGradient: If there is no gradient.
        ValueError: If an image scores otherwise among other images.
    """
    first = _rows(images, 0, 1)
    half = _half_blends(first)
    together = images.full.log_odds[:1]
    try:
        odds, n_rows = _differentiated(problem, first), 3
    except NoGradient:
        if len(images) == 1:
            raise
        _differentiated(problem, _rows(images, 1, len(images)))
        again = _scored(problem, first, first.inputs)
        return 2 * len(images) + 1 + check_alone(problem, first, together, again, rounding)
    alone = _scored(problem, first, half)
    n_rows += check_alone(problem, first, together, odds[:1], rounding)
    return n_rows + check_alone(problem, replace(first, inputs=half), odds[1:], alone, rounding)


def _rows(images: Images, start: int, stop: int) -> Images:
    return images.take(torch.arange(start, stop, device=images.inputs[0].device))


def _half_blends(images: Images) -> tuple[Tensor, ...]:
    return tuple(
        blend(x, r, torch.full_like(x, 0.5))
        for x, r in zip(images.inputs, images.references[0], strict=True)
    )


def _differentiated(problem: Problem, images: Images) -> Tensor:
    """Return the log-odds of images and of their half blends, if they have a gradient."""
    batch = [
        torch.cat(both).requires_grad_()
        for both in zip(images.inputs, _half_blends(images), strict=True)
    ]
    odds = _recorded_log_odds(problem, images, batch)
    _check_gradients(torch.autograd.grad(odds.sum(), batch, allow_unused=True))
    return odds.detach()


def _scored(problem: Problem, images: Images, inputs: tuple[Tensor, ...], times: int = 1) -> Tensor:
    with torch.no_grad():
        return _log_odds(problem, images, tuple(x.clone() for x in inputs), times)


def _recorded_log_odds(problem: Problem, images: Images, batch: Sequence[Tensor]) -> Tensor:
    try:
        # A clone, because a network may work in place on what it is given.
        odds = _log_odds(problem, images, tuple(x.clone() for x in batch), 2)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        with torch.no_grad():  # what fails here too is no matter of gradients, and is raised
            _log_odds(problem, images, tuple(x.detach().clone() for x in batch), 2)
        raise NoGradient(f"it fails where gradients are recorded ({describe(error)})") from error
    if not odds.requires_grad:
        raise NoGradient(
            "its scores have no history that leads back to the inputs (torch.no_grad, detach, "
            "integers or NumPy inside)"
        )
    return odds


def _log_odds(problem: Problem, images: Images, inputs: tuple[Tensor, ...], times: int) -> Tensor:
    arguments = images.arguments.repeat(times)
    scores, classes = select_classes(problem.network(inputs, arguments), arguments.target)
    return read_scores(scores, classes, problem.score, images.calibration).log_odds


def _check_gradients(gradients: Sequence[Tensor | None]) -> None:
    known = [gradient for gradient in gradients if gradient is not None]
    if not known:
        raise NoGradient(
            "its scores have a history, but none that leads back to the inputs (torch.no_grad, "
            "detach or integers inside)"
        )
    finite = [gradient.isfinite() for gradient in known]
    if not any(bool((g[f] != 0).any()) for g, f in zip(known, finite, strict=True)):
        raise NoGradient(
            "the gradient of its scores is zero everywhere (rounding, a cast to integers, "
            "quantisation or a threshold inside)"
            if all(bool(f.all()) for f in finite)
            else "the gradient of its scores is NaN or infinite"
        )


def check_alone(
    problem: Problem, first: Images, together: Tensor, again: Tensor, rounding: float
) -> int:
    """See that an image's log-odds are the same in two batches.

    Args:
        problem (Problem): The network and what its scores mean.
        first (Images): The image.
        together (Tensor): Its log-odds in one batch, of shape (1,).
        again (Tensor): Its log-odds in another, of shape (1,).
        rounding (float): By which they may differ.

    Returns:
        int: Rows that were scored to tell why, where they are not.

    Raises:
        ValueError: If they depend on the rest of the batch.
    """
    difference = _difference(together, again)
    if difference <= rounding:
        return 0
    copies = tuple(torch.cat([x] * REPEATS) for x in first.inputs)
    repeated = _scored(problem, first, copies, REPEATS)
    if _difference(repeated[:1], repeated) > rounding:
        warn(
            f"forward_func: the log-odds of an image differ by {difference:.3g} between two calls "
            "(dropout, noise or sampling inside?); the map averages over all steps, but is less "
            "certain"
        )
    elif difference > COUPLED:
        raise ValueError(
            "forward_func: expected scores of each image alone, but those of the first image "
            f"differ by {difference:.3g} in log-odds between batches: the network normalises by "
            "the rest of the batch (a training mode, also one that was traced or exported?); "
            "export it again in evaluation mode, or pass internal_batch_size=1"
        )
    else:
        warn(
            f"forward_func: the log-odds of an image differ by {difference:.3g} between batches "
            "(quantisation by the whole batch?); its map depends a little on the images beside it"
        )
    return REPEATS


def _difference(one: Tensor, other: Tensor) -> float:
    """Return by how much log-odds differ, as a share of their size where that is above 1."""
    size = max(1.0, float(one.abs().max()))
    difference = float((one - other).abs().max()) / size
    return math.inf if math.isnan(difference) else difference
