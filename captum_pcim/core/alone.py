"""Whether an image's score is its own, and repeats: no other image and no chance in it."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from captum_pcim.core.problem import Images, Problem
from captum_pcim.core.warn import warn

REPEATS = 8  # of an image in one batch: they score alike but where chance has a hand in it
MOST_ROUNDS = 4  # of such batches: dropping may be rare
COUPLED = 0.1  # by which log-odds differ, or the share of a gradient in other images, where these
# decide so much that a map means nothing
LEAST_SHARE = 1e-4  # of a gradient, that is no rounding


@dataclass(frozen=True)
class Seen:
    """What was seen of an image in two batches.

    Args:
        difference (float): By which its log-odds differ, as a share of their size.
        share (float): Of its gradient, that lies in other rows of the batch.
        draws (bool): Whether random numbers were drawn.
    """

    difference: float
    share: float
    draws: bool


def check_alone(problem: Problem, first: Images, seen: Seen, rounding: float) -> int:
    """See that an image's score is its own, and repeats.

    Args:
        problem (Problem): The network and what its scores mean.
        first (Images): The image.
        seen (Seen): What was seen of it.
        rounding (float): By which log-odds may differ.

    Returns:
        int: Rows that were scored to tell why, where it is not.

    Raises:
        ValueError: If it depends on the rest of the batch.
    """
    if seen.share > COUPLED:
        raise ValueError(_coupled(seen))
    alone = seen.difference <= rounding and seen.share <= LEAST_SHARE
    if alone and not seen.draws:
        return 0
    by_chance, n_rows = _spread(problem, first, rounding)
    if by_chance > rounding:
        warn(
            "forward_func: the log-odds of an image differ by "
            f"{max(by_chance, seen.difference):.3g} between two calls (dropout, noise or sampling "
            "inside?); the map averages over all steps, but is less certain"
        )
    elif seen.difference > COUPLED:
        raise ValueError(_coupled(seen))
    elif not alone:
        warn(
            f"forward_func: the log-odds of an image differ by {seen.difference:.3g} between "
            f"batches, and {seen.share:.2%} of their gradient lies in other images (quantisation "
            "or normalisation by the whole batch?); its map depends on the images beside it"
        )
    return n_rows


def _spread(problem: Problem, first: Images, rounding: float) -> tuple[float, int]:
    """Return by how much an image's log-odds differ in batches of it, and the rows it took to see.

    A network may draw once for each row, or once for a whole batch.
    """
    copies = tuple(torch.cat([x] * REPEATS) for x in first.inputs)
    seen = scored(problem, first, copies, REPEATS)
    for _ in range(MOST_ROUNDS - 1):
        if difference(seen[:1], seen) > rounding:
            break
        seen = torch.cat([seen, scored(problem, first, copies, REPEATS)])
    return difference(seen[:1], seen), len(seen)


def _coupled(seen: Seen) -> str:
    return (
        "forward_func: expected scores of each image alone, but those of the first image "
        f"differ by {seen.difference:.3g} in log-odds between batches, and {seen.share:.0%} of "
        "their gradient lies in the image beside it: the network normalises by the rest of the "
        "batch (a training mode, also one that was traced or exported?), or draws numbers now and "
        "then; export it again in evaluation mode, or pass internal_batch_size=1"
    )


def difference(one: Tensor, other: Tensor) -> float:
    """Return by how much log-odds differ, as a share of their size where that is above 1."""
    size = max(1.0, float(one.abs().max()))
    difference = float((one - other).abs().max()) / size
    return math.inf if math.isnan(difference) else difference


def scored(problem: Problem, images: Images, inputs: tuple[Tensor, ...], times: int = 1) -> Tensor:
    """Return the log-odds of copies of images, one after the other."""
    copies = tuple(x.clone() for x in inputs)
    with torch.no_grad():
        return problem.log_odds(copies, images.arguments.repeat(times), images.calibration)
