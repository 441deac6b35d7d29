"""A chunk before it is solved: its images and references, scored as they are, and their stakes."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from captum_pcim._errors import describe
from captum_pcim.core.call import Call, Maps
from captum_pcim.core.checks import check_scores, shape_doubt
from captum_pcim.core.chunks import is_out_of_memory
from captum_pcim.core.contrast import competing
from captum_pcim.core.evidence import (
    differences,
    is_little,
    is_nothing,
    reference_log_odds,
    with_other_references,
)
from captum_pcim.core.network import CallArguments, Target, usable
from captum_pcim.core.probe import check_gradient
from captum_pcim.core.problem import Images, Problem
from captum_pcim.core.score_checks import check_axes, check_meaning, is_rounded_up
from captum_pcim.core.scores import Calibration, Scores, between, read_scores, tempered
from captum_pcim.core.stakes import Stakes
from captum_pcim.core.targets import (
    check_class_range,
    check_trailing_range,
    chosen_target,
    select_classes,
)
from captum_pcim.core.warn import warn


@dataclass(frozen=True)
class Prepared:
    """A chunk before it is solved.

    Args:
        images (Images): The images with the references that are used.
        classes (Tensor): The class of each image that is explained, of shape (N,).
        reference_odds (Tensor): Calibrated log-odds of the references, of shape (N, R).
        nothing (Tensor): Where nothing can be evidence, of shape (N,).
        little (Tensor): Where there is little that can be, of shape (N,).
        rounded (Tensor): Where the probability is 1 to its last digits, of shape (N,).
        n_forwards (Tensor): Passes spent on each image, of shape (N,).
    """

    images: Images
    classes: Tensor
    reference_odds: Tensor
    nothing: Tensor
    little: Tensor
    rounded: Tensor
    n_forwards: Tensor


def prepare(call: Call, problem: Problem, start: int, stop: int, differentiates: bool) -> Prepared:
    """Gather the images of one chunk, and score them and their references as they are.

    Args:
        call (Call): The call.
        problem (Problem): Network, objective and the meaning of scores.
        start (int): The first image of the chunk.
        stop (int): The one after its last.
        differentiates (bool): Whether the network needs a gradient.

    Raises:
        NoGradient: If it needs one and there is none.
    """
    rows = torch.arange(start, stop, device=call.inputs[0].device)
    inputs = tuple(training_dtype(x[start:stop]) for x in call.inputs)
    references = [tuple(map(usable, r)) for r in call.make_references(inputs, rows)]
    arguments = call.arguments.take(rows)
    channels = call.make_channels(inputs, rows)
    with torch.no_grad():
        output = _first_output(problem, inputs, arguments)
        target = chosen_target(arguments.target, output, problem.score)
        check_trailing_range(target, output)
        scores, classes = select_classes(output, target)
        check_axes(output, problem.score)
        check_scores(scores)
        check_class_range(classes, scores.shape[1])
        check_meaning(scores, problem.score)
        among = competing(call.contrast, rows, classes, scores, problem.score)
        arguments = replace(arguments, target=target, competing=among)
        plain = read_scores(scores, classes, problem.score, competing=among)
    unknown = Stakes.between(
        plain.log_odds.new_zeros(stop - start, len(references)), plain.log_odds
    )
    untempered = Images(
        inputs, references, references, arguments, channels, plain, _as_it_is(plain), unknown
    )
    n_forwards = torch.ones(stop - start, dtype=torch.int64, device=rows.device)
    if differentiates and start == 0:
        n_forwards[0] += check_gradient(problem, untempered, call.network)
    replaceable = call.replaceable and differentiates  # forward passes may be paid for
    return _with_references(problem, untempered, scores, classes, n_forwards, replaceable)


def targets_of_all(call: Call, problem: Problem, at_once: int) -> Target:
    """Score all images, so many at once, and return the targets that are chosen for them."""
    outputs = []
    for rows in torch.arange(call.load.n_images, device=call.inputs[0].device).split(at_once):
        inputs = tuple(training_dtype(x[rows]) for x in call.inputs)
        with torch.no_grad():
            outputs.append(_first_output(problem, inputs, call.arguments.take(rows)))
    chosen = chosen_target(call.arguments.target, torch.cat(outputs), problem.score)
    return chosen.to(call.inputs[0].device) if isinstance(chosen, Tensor) else chosen


def _first_output(problem: Problem, inputs: Maps, arguments: CallArguments) -> Tensor:
    """Score the images, and say what their shape suggests."""
    doubt = next(filter(None, map(shape_doubt, inputs)), "")
    try:
        # A clone, because a network may work in place on what it is given.
        output = problem.network(tuple(x.clone() for x in inputs), arguments)
    except Exception as error:
        if not doubt or is_out_of_memory(error):
            raise
        raise ValueError(f"inputs: {doubt} (the network: {describe(error)})") from error
    if "channels last" in doubt:
        warn(f"inputs: {doubt}, unless the network takes it so")
    return output


def _with_references(
    problem: Problem,
    images: Images,
    scores: Tensor,
    classes: Tensor,
    n_forwards: Tensor,
    replaceable: bool,
) -> Prepared:
    """Score the references, replace what may be replaced, and calibrate the scores."""
    odds = torch.stack([reference_log_odds(problem, images, r) for r in images.references], dim=1)
    difference = differences(images.full.log_odds, odds)
    nothing = is_nothing(difference, images.full.log_odds, problem.score)
    little = is_little(difference, problem.score) & ~nothing
    if problem.score == "regression":
        calibration = between(odds.mean(1), images.full.log_odds)
    else:
        calibration = tempered(images.full.log_odds)
    among = images.arguments.competing
    full = read_scores(scores, classes, problem.score, calibration, among)
    images = replace(images, full=full, calibration=calibration)
    odds = calibration(odds)
    n_forwards = n_forwards + odds.shape[1]
    if replaceable and problem.score != "regression":
        images, odds, spent = with_other_references(problem, images, odds, nothing)
        n_forwards = n_forwards + spent
    images = replace(images, stakes=Stakes.between(odds, images.full.log_odds))
    rounded = is_rounded_up(scores, classes, problem.score)
    return Prepared(images, classes, odds, nothing, little, rounded, n_forwards)


def _as_it_is(scores: Scores) -> Calibration:
    ones = torch.ones_like(scores.log_odds).unsqueeze(1)
    return Calibration(0 * ones, ones)


def training_dtype(tensor: Tensor) -> Tensor:
    """Return a tensor in the dtype its weights are trained in: float64 stays, all else float32."""
    tensor = usable(tensor)
    return tensor if tensor.dtype == torch.float64 else tensor.float()
