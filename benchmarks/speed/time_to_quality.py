"""Time to a given quality on the synthetic development images, against fair rivals.

Rivals that are cheaper than PCIM are as fair as in `benchmarks.fair`: in the form that was best on
the tuning parts. Both directions are told: what PCIM needs for a rival's quality, and which rival
has PCIM's quality sooner.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from statistics import median

import torch
from captum.attr import Occlusion
from torch import Tensor, nn

from benchmarks.fair.forms import chosen_forms
from benchmarks.fair.rivals import PLAIN, rivals
from benchmarks.results import Cell, Table
from benchmarks.rivals.rise import rise
from benchmarks.sets.synthetic import recognised_positives
from benchmarks.speed.timing import Pairs, seconds_of
from captum_pcim import PCIM
from captum_pcim.comparison.methods import Method, captum_methods
from captum_pcim.core.references import Background
from captum_pcim.metrics import average_precision, relevance_mass_accuracy
from captum_pcim.pcim import DEFAULT_STEPS
from captum_pcim.synthetic import DEVELOPMENT_SEED, load_cnn

ROWS = 128  # that the network sees at once
STEPS = (3, 6, 12, DEFAULT_STEPS, 48)
CHEAP = ("GradCam", "DeepLift", "HiResCAM product", "IntegratedGradients", "iGOS++")

Maps = Callable[[Tensor, Tensor], Tensor]


@dataclass
class Score:
    """What one method in one setting achieved.

    Attributes:
        seconds: Per group of images, all of which every method explains in turn.
        precision: Average precision of each image.
        mass: Relevance mass accuracy of each image.
    """

    seconds: list[float] = field(default_factory=list)
    precision: list[float] = field(default_factory=list)
    mass: list[float] = field(default_factory=list)


def time_to_quality(arguments: argparse.Namespace) -> Table:
    """For each method in each setting its quality, and who is as good sooner."""
    model = load_cnn("fluorescence").to(arguments.device)
    groups, group_size = (2, 2) if arguments.quick else (4, 4)
    images = recognised_positives(
        load_cnn("fluorescence"), "fluorescence", groups * group_size, DEVELOPMENT_SEED
    )
    ours = {f"PCIM, {n} steps": _pcim(model, n) for n in STEPS}
    methods = ours | _cheap_rivals(model) | _dear_rivals(model, arguments.quick)
    scores = {name: Score() for name in methods}
    for start in range(0, groups * group_size, group_size):
        part = images[torch.arange(start, start + group_size)]
        inputs, labels = part.inputs.to(arguments.device), part.labels.to(arguments.device)
        for name, method in methods.items():
            found: list[Tensor] = []
            seconds = seconds_of(lambda: found.append(method(inputs, labels)))  # noqa: B023
            maps = found[0].cpu()
            scores[name].seconds.append(seconds)
            scores[name].precision += average_precision(maps, part.masks).tolist()
            scores[name].mass += relevance_mass_accuracy(maps, part.masks).tolist()
    rows = [
        _row(name, scores, [other for other in scores if (other in ours) != (name in ours)])
        for name in scores
    ]
    header = [
        "method", "average precision", "seconds an image", "mass accuracy",
        "soonest as precise", "time / that", "soonest of as much mass", "time / that one's",
    ]  # fmt: skip
    return Table(
        "Time to a given quality",
        header,
        rows,
        f"Against the true masks of {groups * group_size} synthetic fluorescence images of the "
        f"development seed, 96 px, explained {group_size} at a time by all methods in turn. "
        "Soonest: of PCIM's settings for a rival, of the rivals for PCIM, the one of the least "
        "time that scores at least as much on the same images; ratios are over groups of images.",
    )


def _row(name: str, scores: dict[str, Score], others: Iterable[str]) -> list[Cell]:
    own, opposed = scores[name], {other: scores[other] for other in others}
    return [
        name,
        f"{_mean(own.precision):.3f}",
        f"{median(own.seconds) / (len(own.precision) / len(own.seconds)):.3f}",
        f"{_mean(own.mass):.3f}",
        *_soonest(own, opposed, lambda score: _mean(score.precision)),
        *_soonest(own, opposed, lambda score: _mean(score.mass)),
    ]


def _soonest(
    own: Score, others: dict[str, Score], quality: Callable[[Score], float]
) -> tuple[Cell, Cell]:
    """The least of the others' times to the same quality, and one's own time over it."""
    enough = [name for name, score in others.items() if quality(score) >= quality(own)]
    if not enough:
        return "none", "-"
    name = min(enough, key=lambda one: median(others[one].seconds))
    return name, Pairs(own.seconds, others[name].seconds).spread


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _pcim(model: nn.Module, n_steps: int) -> Maps:
    return lambda inputs, target: PCIM(model).attribute(inputs, target=target, n_steps=n_steps)


def _cheap_rivals(model: nn.Module) -> dict[str, Maps]:
    """Rivals of a few to a hundred passes, each in the form chosen for fluorescence."""
    found: dict[str, Maps] = {}
    for name in CHEAP:
        forms = rivals(model)[name]
        form = PLAIN if PLAIN in forms else chosen_forms()["fluorescence"][name]
        found[name if form == PLAIN else f"{name}, {form}"] = forms[form].maps
    return found


def _dear_rivals(model: nn.Module, quick: bool) -> dict[str, Maps]:
    """Rivals of more passes than PCIM, cheaper and dearer than their usual settings."""
    found: dict[str, Maps] = {}
    for stride in (8, 4) if quick else (8, 4, 2):
        found[f"Occlusion, window 9, stride {stride}"] = partial(_occlusion, model, stride)
    surrogate = captum_methods(model)["KernelShap"]
    for n_samples in (100,) if quick else (300, 1000):
        found[f"KernelShap, {n_samples} samples"] = partial(_surrogate, surrogate, n_samples)
    for n_masks in (250,) if quick else (1000, 4000):
        found[f"RISE, {n_masks} masks"] = partial(_rise, model, n_masks)
    return found


def _occlusion(model: nn.Module, stride: int, inputs: Tensor, target: Tensor) -> Tensor:
    channels = inputs.shape[1]
    maps: Tensor = Occlusion(model).attribute(
        inputs, (channels, 9, 9), (channels, stride, stride), Background()(inputs)[0], target,
        perturbations_per_eval=ROWS // len(inputs),
    )  # fmt: skip
    return maps


def _surrogate(method: Method, n_samples: int, inputs: Tensor, target: Tensor) -> Tensor:
    usual = method.arguments(inputs) if callable(method.arguments) else method.arguments
    changed = Method(method.attribution, {**usual, "n_samples": n_samples}, method.reduce)
    return changed.maps(inputs, target)


def _rise(model: nn.Module, n_masks: int, inputs: Tensor, target: Tensor) -> Tensor:
    return rise(model, inputs, target, Background()(inputs)[0], n_masks, rows=ROWS)
