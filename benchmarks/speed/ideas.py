"""Ways to make `attribute` faster or smaller that are cheap to try, each beside how it is today."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from benchmarks.results import Cell, Table
from benchmarks.speed.cases import Case, Work
from benchmarks.speed.timing import in_turn, peak_bytes
from captum_pcim import PCIM, Background, Blur
from captum_pcim._errors import describe
from captum_pcim.core.adam import Adam
from captum_pcim.core.moments import moments
from captum_pcim.synthetic.cnn import SmallResNet

CASES = (Case("small CNN", 1, 96), Case("small CNN", 8, 96), Case("ResNet-50", 1, 224))
STEPS = {"small CNN": 10, "ResNet-50": 2}

Way = Callable[[], object]


class Trial(NamedTuple):
    """One idea.

    Attributes:
        name: What is different.
        with_it: Does the work that way.
        without: Does the same work as it is done otherwise.
        memory: Whether peak memory is compared too.
    """

    name: str
    with_it: Way
    without: Way
    memory: bool = True


def ideas(arguments: argparse.Namespace) -> Table:
    """Time and peak memory with an idea over those without it, in turn."""
    rows = []
    for case in CASES[: 2 if arguments.quick else None]:
        work = Work(case, arguments.device)
        for trial in _trials(work, STEPS[case.network]):
            rows.append([trial.name, str(case), *_ratios(trial, arguments)])
    return Table(
        "Ideas",
        ["idea", "case", "time / time without", "peak / peak without"],
        rows,
        "Time and peak memory with the idea over those without it. `attribute` as a "
        "whole, with few steps, unless the table says what alone is compared. Compiling itself is "
        "not timed.",
    )


def _ratios(trial: Trial, arguments: argparse.Namespace) -> list[Cell]:
    try:
        pairs = in_turn(trial.with_it, trial.without, arguments.repeats)
    except Exception as error:  # a backend that is not there may raise anything
        return [describe(error)[:80], "-"]
    if not trial.memory:
        return [pairs.spread, "-"]
    peaks = [peak_bytes(way, arguments.device) for way in (trial.with_it, trial.without)]
    return [pairs.spread, f"{peaks[0] / peaks[1]:.3f}"]


def _trials(work: Work, n_steps: int) -> Iterator[Trial]:
    inputs, device = work.inputs, work.inputs.device
    both = torch.cat([inputs, inputs])
    last = Work(work.case, str(device))
    last.model.to(memory_format=torch.channels_last)
    made = [_Given(reference(inputs)) for reference in (Background(), Blur())]

    def attribute(network: nn.Module, images: Tensor = inputs, **arguments: Any) -> Way:
        return lambda: PCIM(network, **arguments).attribute(images, target=1, n_steps=n_steps)

    plain = attribute(work.model)
    nhwc = inputs.contiguous(memory_format=torch.channels_last)
    yield Trial("channels_last", attribute(last.model, nhwc), plain)
    yield Trial("torch.compile of the network", attribute(torch.compile(work.view)), plain, False)
    yield Trial("bfloat16 autocast", attribute(work.model, autocast_dtype=torch.bfloat16), plain)
    yield Trial("references made once", attribute(work.model, references=made), plain)
    yield Trial("activation checkpointing", attribute(_Checkpointed(work.model)), plain)
    yield Trial(
        "both halves in one batch against two calls, passes alone",
        lambda: _passes(work.view, [both]),
        lambda: _passes(work.view, [inputs, inputs]),
    )
    yield Trial("foreach Adam against ours, updates alone", *_updates(len(inputs), device), False)


def _passes(network: Callable[[Tensor], Tensor], batches: list[Tensor]) -> None:
    """Forward of all batches, then backward of all, as one step does."""
    leaves = [batch.detach().requires_grad_() for batch in batches]
    scores = torch.cat([network(leaf) for leaf in leaves])
    torch.autograd.grad(scores[:, 1].sum(), leaves)


def _updates(n_images: int, device: torch.device) -> tuple[Way, Way]:
    """Forty updates of logits on the grid of a default map, by torch and by us."""
    logits = torch.zeros(n_images, 1, 65, 65, device=device, requires_grad=True)
    gradient = torch.randn_like(logits)
    logits.grad = gradient
    flat = logits.detach().flatten(1).clone()
    theirs, ours = torch.optim.Adam([logits], foreach=True), Adam(flat, [flat.shape[1]], 0.5)

    def our_steps() -> None:
        for of_step in moments(40, flat):
            ours.step(flat, gradient.flatten(1).clone(), of_step.adam)

    return lambda: [theirs.step() for _ in range(40)], our_steps


@dataclass(frozen=True)
class _Given:
    """A reference that was made beforehand."""

    images: Tensor

    def __call__(self, inputs: Tensor) -> Tensor:
        return self.images


class _Checkpointed(nn.Module):
    """A network that keeps what goes into its blocks and computes the rest a second time."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        if isinstance(network, SmallResNet):
            head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), network.head)
            network = nn.Sequential(network.stem, *network.stages, *head)
        self.blocks = nn.ModuleList(network.children()).eval()

    def forward(self, features: Tensor) -> Tensor:
        for block in self.blocks:
            features = checkpoint(block, features, use_reentrant=False)
        return features
