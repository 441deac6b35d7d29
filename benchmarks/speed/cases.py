"""What is timed: `attribute`, the bare passes it is made of, and a training step beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.speed.networks import build
from benchmarks.speed.timing import seconds_of
from captum_pcim import PCIM
from captum_pcim.core.network import frozen_view
from captum_pcim.core.references import default_references
from captum_pcim.pcim import DEFAULT_STEPS

FEWEST_STEPS = 5
BATCHES = (1, 8, 32)
SIDES = {"small CNN": (96, 512), "ResNet-50": (224,), "ViT-S/16": (224,)}
QUICK_BATCHES = (1, 8)
QUICK_SIDES = {"small CNN": (96,), "ResNet-50": (224,), "ViT-S/16": (224,)}


@dataclass(frozen=True)
class Case:
    """A network and a batch.

    Args:
        network: Its name in `benchmarks.speed.networks`.
        batch: Images.
        side: Of the images, in pixels.
        channels: Of the images.
        n_classes: Of the network.
    """

    network: str
    batch: int
    side: int
    channels: int = 3
    n_classes: int = 10

    def __str__(self) -> str:
        return f"{self.network}, {self.side} px, batch {self.batch}"


EVEN = 2  # like steps: even blends and complements with each reference, before the first one


class Work:
    """The three things that can be done with a case.

    Args:
        case: Network and batch.
        device: Where.
    """

    def __init__(self, case: Case, device: str) -> None:
        self.case = case
        self.model = build(case.network, case.channels, case.side, case.n_classes, device)
        self.view = frozen_view(self.model)
        generator = torch.Generator().manual_seed(0)
        shape = (case.batch, case.channels, case.side, case.side)
        self.inputs = torch.rand(shape, generator=generator).to(device)

    def attribute(
        self, n_steps: int, internal_batch_size: int | None = None, **options: Any
    ) -> Tensor:
        # Named, so that none is replaced: of networks with random weights they all show the class.
        pcim = PCIM(self.model, references=default_references(self.model), **options)
        maps: Tensor = pcim.attribute(
            self.inputs, target=1, n_steps=n_steps, internal_batch_size=internal_batch_size
        )
        return maps

    def bare_passes(self, n_steps: int) -> None:
        """The same passes and nothing else: gradients of 2 N images, none of parameters."""
        with torch.no_grad():
            self.view(self.inputs)
        rows = torch.cat([self.inputs, self.inputs])
        for _ in range(n_steps):
            self._pass(rows)

    def replayed_passes(self, n_steps: int) -> None:
        """The bare passes as a CUDA graph, which is captured here too."""
        with torch.no_grad():
            self.view(self.inputs)
        rows = torch.cat([self.inputs, self.inputs])
        self._pass(rows)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._pass(rows)
        for _ in range(n_steps - 1):
            graph.replay()

    def _pass(self, rows: Tensor) -> None:
        leaf = rows.detach().requires_grad_()
        torch.autograd.grad(self.view(leaf)[:, 1].sum(), leaf)

    def training_step(self) -> None:
        """Forward and backward as in training, with as many rows as a step of `attribute`."""
        self.model.train().requires_grad_()
        rows = torch.cat([self.inputs, self.inputs])
        target = torch.ones(len(rows), dtype=torch.long, device=rows.device)
        nn.functional.cross_entropy(self.model(rows), target).backward()
        self.model.zero_grad(set_to_none=True)
        self.model.eval()


def steps_within(work: Work, seconds: float, repeats: int) -> int:
    """As many steps as the default, or fewer where repeats in turn would take too long; 0: none.

    Fewer steps make the costs that do not depend on them weigh more, so the ratios are upper
    bounds.
    """
    work.bare_passes(1)
    of_a_step = seconds_of(lambda: work.bare_passes(1))
    affordable = int(seconds / (2 * (repeats + 1) * of_a_step))
    return 0 if affordable < FEWEST_STEPS else min(DEFAULT_STEPS, affordable)


def grid(quick: bool) -> tuple[dict[str, tuple[int, ...]], tuple[int, ...]]:
    """Sides of each network, and batches."""
    return (QUICK_SIDES, QUICK_BATCHES) if quick else (SIDES, BATCHES)
