"""Time to a given quality on the synthetic development images."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from statistics import median

import torch
from captum.attr import Occlusion
from torch import Tensor, nn

from benchmarks.results import Cell, Table
from benchmarks.rivals.extremal import extremal_perturbation
from benchmarks.rivals.rise import rise
from benchmarks.sets.synthetic import recognised_positives
from benchmarks.speed.timing import Pairs, seconds_of
from captum_pcim import PCIM
from captum_pcim.comparison.methods import Method, captum_methods
from captum_pcim.core.references import Background
from captum_pcim.metrics import average_precision
from captum_pcim.pcim import DEFAULT_STEPS
from captum_pcim.synthetic import DEVELOPMENT_SEED, load_cnn

ROWS = 128  # that the network sees at once
DEFAULT = DEFAULT_STEPS
STEPS = (3, 6, 12, 24, DEFAULT)

Maps = Callable[[Tensor, Tensor], Tensor]


@dataclass
class Score:
    """What one method in one setting achieved.

    Attributes:
        seconds: Per group of images, all of which every method explains in turn.
        precision: Average precision of each image.
    """

    seconds: list[float] = field(default_factory=list)
    precision: list[float] = field(default_factory=list)


def time_to_quality(arguments: argparse.Namespace) -> Table:
    """For each rival in each setting the time PCIM needs for the same average precision."""
    model = load_cnn("fluorescence").to(arguments.device)
    groups, group_size = (2, 2) if arguments.quick else (4, 4)
    images = recognised_positives(
        load_cnn("fluorescence"), "fluorescence", groups * group_size, DEVELOPMENT_SEED
    )
    rivals = _rivals(model, arguments.quick)
    methods = {f"PCIM, {n} steps": _pcim(model, n) for n in STEPS} | rivals
    scores = {name: Score() for name in methods}
    for start in range(0, groups * group_size, group_size):
        part = images[torch.arange(start, start + group_size)]
        inputs, labels = part.inputs.to(arguments.device), part.labels.to(arguments.device)
        for name, method in methods.items():
            found: list[Tensor] = []
            seconds = seconds_of(lambda: found.append(method(inputs, labels)))  # noqa: B023
            scores[name].seconds.append(seconds)
            scores[name].precision += average_precision(found[0].cpu(), part.masks).tolist()
    rows = [_quality_row(name, scores, group_size) for name in rivals]
    pcim = [
        [f"PCIM, {n} steps", *_plain_cells(scores[f"PCIM, {n} steps"], group_size), "", "", ""]
        for n in STEPS
    ]
    header = [
        "method", "average precision", "seconds an image", f"reaches PCIM's at {DEFAULT} steps",
        "PCIM's steps to the same", "its time / PCIM's to the same",
    ]  # fmt: skip
    return Table(
        "Time to a given quality",
        header,
        [*pcim, *rows],
        f"Average precision of the maps against the true masks, "
        f"{groups * group_size} synthetic fluorescence images of the development seed, 96 px, "
        f"explained {group_size} at a time by all methods in turn. PCIM's steps to the same: the "
        "fewest measured that score at least as much on the same images; ratios are over groups "
        "of images.",
    )


def _quality_row(name: str, scores: dict[str, Score], group_size: int) -> list[Cell]:
    rival = scores[name]
    n_images, n_groups = len(rival.precision), len(rival.seconds)
    pcim = {n: scores[f"PCIM, {n} steps"] for n in STEPS}
    reached = _mean(rival.precision)
    enough = [n for n in STEPS if _mean(pcim[n].precision[:n_images]) >= reached]
    reaches = reached >= _mean(pcim[DEFAULT].precision[:n_images])
    cells = [name, *_plain_cells(rival, group_size), "yes" if reaches else "no"]
    if not enough:
        return [*cells, "never", "-"]
    pairs = Pairs(rival.seconds, pcim[enough[0]].seconds[:n_groups])
    return [*cells, str(enough[0]), pairs.spread]


def _plain_cells(score: Score, group_size: int) -> list[str]:
    return [f"{_mean(score.precision):.3f}", f"{median(score.seconds) / group_size:.3f}"]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _pcim(model: nn.Module, n_steps: int) -> Maps:
    return lambda inputs, target: PCIM(model).attribute(inputs, target=target, n_steps=n_steps)


def _rivals(model: nn.Module, quick: bool) -> dict[str, Maps]:
    """Captum's methods and two others, cheaper and dearer than their usual settings."""
    rivals: dict[str, Maps] = {}
    for stride in (8, 4) if quick else (8, 4, 2):
        rivals[f"Occlusion, window 9, stride {stride}"] = partial(_occlusion, model, stride)
    for name in ("KernelShap", "Lime"):
        surrogate = captum_methods(model)[name]
        for n_samples in (100, 300) if quick else (100, 300, 1000):
            rivals[f"{name}, {n_samples} samples"] = partial(_surrogate, surrogate, n_samples)
    for n_masks in (250, 1000) if quick else (250, 1000, 4000):
        rivals[f"RISE, {n_masks} masks"] = partial(_rise, model, n_masks)
    rivals["extremal perturbation, 800 steps of 4 areas"] = partial(extremal_perturbation, model)
    return rivals


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
