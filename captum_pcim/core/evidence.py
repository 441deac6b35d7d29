"""What references show: whether they already show the class, and whether anything is evidence.

Against a reference that shows the class a map tells only what the image has beyond it, which may be
little (:mod:`captum_pcim.core.stakes`). Of the default references, one that shows the class of an
image is replaced for that image by the first flat colour of :data:`STAND_INS` that does not. What
has shapes of its own, a wider blur or patches, is no stand-in: maps against it follow those shapes.
Where no colour fits, the reference stays and is told. The rule and the list are ours.
"""

from dataclasses import replace

import torch
from torch import Tensor

from captum_pcim.core.problem import Images, Problem
from captum_pcim.core.references import Background, reference_images
from captum_pcim.core.scores import ScoreKind

STAND_INS = (Background(0.5), Background(0.02))  # the median and a dark quantile, each one colour
LITTLE = 0.5  # nats of log-odds between image and references, below which a map means little
NOTHING = 1e-4  # the same as a share of the log-odds, below which nothing can be evidence


def reference_log_odds(problem: Problem, images: Images, reference: tuple[Tensor, ...]) -> Tensor:
    """Return the calibrated log-odds of one reference of each image, of shape (N,)."""
    batch = tuple(r.expand_as(x).clone() for r, x in zip(reference, images.inputs, strict=True))
    with torch.no_grad():
        return problem.log_odds(batch, images.arguments, images.calibration)


def with_other_references(
    problem: Problem, images: Images, log_odds: Tensor, nothing: Tensor
) -> tuple[Images, Tensor, Tensor]:
    """Replace the references that show the class, image by image.

    Args:
        problem (Problem): The network and what its scores mean.
        images (Images): The images and their references.
        log_odds (Tensor): Of the references, of shape (N, R).
        nothing (Tensor): Where nothing can be evidence whatever it is blended against, (N,).

    Returns:
        tuple: The images with their references, the log-odds of these, (N, R), and the passes
        that were made of each image, (N,).
    """
    shows = (log_odds >= images.held_log_odds.unsqueeze(1)) & ~nothing.unsqueeze(1)
    spent = torch.zeros_like(images.full.log_odds, dtype=torch.int64)
    if not bool(shows.any()):
        return images, log_odds, spent
    log_odds = log_odds.clone()
    references = [
        tuple(r.expand_as(x).clone() for r, x in zip(reference, images.inputs, strict=True))
        for reference in images.references
    ]
    for colour in STAND_INS:
        rows = shows.any(1).nonzero().flatten()
        if len(rows) == 0:
            break
        candidate = tuple(reference_images([colour], x)[0] for x in images.inputs)
        own = tuple(c[rows] if len(c) > 1 else c for c in candidate)
        odds = reference_log_odds(problem, images.take(rows), own)
        spent[rows] += 1
        taken = rows[odds < images.held_log_odds[rows]]
        slots = shows[taken].int().argmax(1)  # the first of an image's references that shows it
        log_odds[taken, slots] = odds[odds < images.held_log_odds[rows]]
        shows[taken, slots] = False
        for row, slot in zip(taken.tolist(), slots.tolist(), strict=True):
            for reference, c in zip(references[slot], candidate, strict=True):
                reference[row] = c[row] if len(c) > 1 else c[0]
    return replace(images, references=references), log_odds, spent


def differences(full: Tensor, references: Tensor) -> Tensor:
    """Return by how much each image's log-odds differ from those of its farthest reference.

    Args:
        full (Tensor): Untempered log-odds of the images, of shape (N,).
        references (Tensor): Untempered log-odds of the references, of shape (N, R).
    """
    return (references - full.unsqueeze(1)).abs().amax(1)


def is_nothing(difference: Tensor, full: Tensor, kind: ScoreKind) -> Tensor:
    """Tell which images score as all their references do, of shape (N,).

    Args:
        difference (Tensor): From :func:`differences`.
        full (Tensor): Untempered log-odds of the images.
        kind (str): What scores mean; a quantity has no unit of its own.
    """
    size = full.abs() if kind == "regression" else full.abs().clamp_min(1)
    return difference <= NOTHING * size


def is_little(difference: Tensor, kind: ScoreKind) -> Tensor:
    """Tell which images differ by less than half a nat from all their references."""
    return (difference < LITTLE) & (kind != "regression")
