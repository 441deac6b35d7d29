"""Asking the network before it is explained: is there a gradient, all of it, and is an image alone?

One pass of two rows, the first image and a blend next to it, answers all: its score has to be the
one that it had among the others, no gradient of it may lie in the blend, as an image that the
network is sure of scores alike whatever stands there, and the two have to differ by what the
gradient says. Only what is suspicious costs more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from captum_pcim._errors import describe
from captum_pcim.core.alone import Seen, check_alone, difference, scored
from captum_pcim.core.blending import blend
from captum_pcim.core.chunks import is_out_of_memory
from captum_pcim.core.network import Network
from captum_pcim.core.problem import Images, Problem
from captum_pcim.core.random_state import Draws
from captum_pcim.core.warn import warn

STEP = 0.02  # towards the reference, over which a gradient holds
MISSED = 0.25  # of a change and what the gradient says of it, in which they differ
FULL_PRECISION = 0.01  # rounding of the log-odds, up to which such small changes are seen
LEAST_MISSED = 0.25  # of what such a step would change on a straight way from log-odds of 0


class NoGradient(Exception):  # noqa: N818 - a finding, not an error
    """Autograd gives no gradient of the scores.

    Args:
        cause (str): What was found.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class _NoGradientHere(NoGradient):
    """There is one perhaps for other images."""


def check_gradient(problem: Problem, images: Images, network: Network) -> int:
    """See that autograd follows the scores back to the first image, and that it scores alike.

    An image can be without a gradient in a network that has one, so the others are asked before
    the network is said to have none.

    Args:
        problem (Problem): The network and what its scores mean.
        images (Images): The first chunk; its full images have been scored together.
        network (Network): The network, which knows its precision.

    Returns:
        int: Rows that were scored.

    Raises:
        NoGradient: If there is no gradient.
        ValueError: If an image scores otherwise among other images.
    """
    first, together, draws = _rows(images, 0, 1), images.full.log_odds[:1], Draws()
    rounding = network.rounding
    try:
        asked, n_rows = _differentiated(problem, first)
        again = asked.log_odds
    except _NoGradientHere:
        if len(images) == 1:
            raise
        asked, n_rows = _differentiated(problem, _rows(images, 1, len(images)))
        again = scored(problem, first, first.inputs)
        n_rows += 5  # of the first image, four without a gradient
    seen = Seen(difference(together, again), asked.share, bool(draws))
    n_rows += check_alone(problem, first, seen, rounding)
    if not draws and rounding > FULL_PRECISION:
        asked, more_rows = _asked_precisely(problem, first, asked, network)
        n_rows += more_rows
    repeats = not draws and seen.difference <= rounding
    if repeats and asked.suspicious and _is_near(first):
        warn(
            "forward_func: the log-odds of an image change by "
            f"{float(asked.change):.3g} where their gradient says {float(asked.said):.3g}: part of "
            "the network seems to hide from autograd (detach, no_grad, rounding inside?), and the "
            "map may miss what it sees (pass gradients=ForwardOnly(...) to do without)"
        )
    return n_rows


def _rows(images: Images, start: int, stop: int) -> Images:
    return images.take(torch.arange(start, stop, device=images.inputs[0].device))


def _blends(images: Images, share: float) -> tuple[Tensor, ...]:
    return tuple(
        blend(x, r, torch.full_like(x, share))
        for x, r in zip(images.inputs, images.references[0], strict=True)
    )


def _is_near(images: Images) -> bool:
    """Tell whether a step towards the reference leads to what looks like an image."""
    return all(
        bool((x - r).abs().max() <= x.max() - x.min())
        for x, r in zip(images.inputs, images.references[0], strict=True)
    )


@dataclass(frozen=True)
class _Asked:
    """What one pass with its gradient told.

    Args:
        log_odds (Tensor): Of the images.
        share (float): Of their gradient, that lies in the blends beside them.
        change (Tensor): Of the log-odds from the blend of the first image to the image.
        said (Tensor): What the gradient says of it.
    """

    log_odds: Tensor
    share: float
    change: Tensor
    said: Tensor

    @property
    def suspicious(self) -> bool:
        """Whether the gradient misses a part of the change that no rounding in float32 makes."""
        missed = float((self.change - self.said).abs())
        if missed <= LEAST_MISSED * STEP * max(1.0, float(self.log_odds[0].abs())):
            return False
        return missed > MISSED * float(self.change.abs() + self.said.abs())


def _asked_precisely(
    problem: Problem, first: Images, asked: _Asked, network: Network
) -> tuple[_Asked, int]:
    """Ask again outside autocast, as half precision hides, or makes, so small a change.

    A network that is in half precision itself, or works under autocast only, is not accused.
    """
    nothing = replace(asked, change=asked.said)
    if network.autocast_dtype is None:
        return nothing, 0
    precise = Problem(network.outside_autocast(), problem.terms, problem.score)
    try:
        return _differentiated(precise, first)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return nothing, 2


def _differentiated(problem: Problem, images: Images) -> tuple[_Asked, int]:
    """Return what images and their gradient tell, and the rows that it took.

    Where images have no gradient their half blends are asked, as a network may be sure of an image.
    """
    try:
        return _gradient(problem, images, _blends(images, 1 - STEP), of=0), 2 * len(images)
    except _NoGradientHere:
        asked = _gradient(problem, images, _blends(images, 0.5), of=1)
        nothing = torch.zeros(())  # it is far between the two
        return replace(asked, change=nothing, said=nothing), 4 * len(images)


def _gradient(problem: Problem, images: Images, blends: Sequence[Tensor], of: int) -> _Asked:
    """Differentiate the images (of=0) or their blends (of=1) in a batch of both.

    One at a time, as compiled networks refuse to go backward twice.
    """
    batch = [torch.cat(both).requires_grad_() for both in zip(images.inputs, blends, strict=True)]
    odds = _recorded_log_odds(problem, images, batch).split(len(images))
    gradients = _backward(odds[of].sum(), batch)
    _check_gradients(gradients)
    known = [
        (g.nan_to_num(0, 0, 0).double().split(len(images)), x.detach().split(len(images)))
        for g, x in zip(gradients, batch, strict=True)
        if g is not None
    ]
    own, beside = (sum(float(g[which].abs().sum()) for g, _ in known) for which in (of, 1 - of))
    said = sum((g[0][0] * (x[0][0] - x[1][0])).sum() for g, x in known)
    image, blended = (each.detach() for each in odds)
    share = beside / max(own + beside, 1e-300)
    return _Asked(image, share, change=image[0] - blended[0], said=torch.as_tensor(said))


def _backward(score: Tensor, batch: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    try:
        return torch.autograd.grad(score, batch, allow_unused=True)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise NoGradient(f"it fails where gradients are taken ({describe(error)})") from error


def _recorded_log_odds(problem: Problem, images: Images, batch: Sequence[Tensor]) -> Tensor:
    told = images.arguments.twice, images.calibration
    try:
        # A clone, because a network may work in place on what it is given.
        odds = problem.log_odds(tuple(x.clone() for x in batch), *told)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        with torch.no_grad():  # what fails here too is no matter of gradients, and is raised
            problem.log_odds(tuple(x.detach().clone() for x in batch), *told)
        raise NoGradient(f"it fails where gradients are recorded ({describe(error)})") from error
    if not odds.requires_grad:
        raise NoGradient(
            "its scores have no history that leads back to the inputs (torch.no_grad, detach, "
            "integers or NumPy inside)"
        )
    return odds


def _check_gradients(gradients: Sequence[Tensor | None]) -> None:
    known = [gradient for gradient in gradients if gradient is not None]
    if not known:
        raise NoGradient(
            "its scores have a history, but none that leads back to the inputs (torch.no_grad, "
            "detach or integers inside)"
        )
    finite = [gradient.isfinite() for gradient in known]
    if not any(bool((g[f] != 0).any()) for g, f in zip(known, finite, strict=True)):
        raise _NoGradientHere(
            "the gradient of its scores is zero everywhere (rounding, a cast to integers, "
            "quantisation or a threshold inside)"
            if all(bool(f.all()) for f in finite)
            else "the gradient of its scores is NaN or infinite"
        )
