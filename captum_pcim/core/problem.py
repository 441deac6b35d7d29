"""What is solved: the objective of a network on images, as a function of the blending weights."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from captum_pcim.core.blending import blend_and_complement
from captum_pcim.core.channels import Factors, GroupedChannels, PixelChannels
from captum_pcim.core.checks import check_differentiable
from captum_pcim.core.network import CallArguments, RunNetwork
from captum_pcim.core.objective import Blended, Term, total_loss
from captum_pcim.core.scores import Calibration, ScoreKind, Scores, read_scores
from captum_pcim.core.stakes import Stakes
from captum_pcim.core.targets import select_classes

Own = TypeVar("Own", bound="Images")

HELD_SHARE = 0.5  # of the class's probability on the image: blends have more, complements less


@dataclass(frozen=True)
class Images:
    """The images of one chunk and everything that belongs to them row by row.

    Args:
        inputs (tuple of Tensor): In the dtype that weights are trained in.
        references (list of tuple of Tensor): R references, each one tensor per input with N or
            1 rows.
        unreplaced (list of tuple of Tensor): The same before any was replaced.
        arguments (CallArguments): Targets and additional arguments.
        channels: What one pixel channel is.
        full (Scores): The network's calibrated scores of the images themselves.
        calibration (Calibration): Of the scores, per image.
        stakes (Stakes): Where the class begins between each reference and the image.
    """

    inputs: tuple[Tensor, ...]
    references: list[tuple[Tensor, ...]]
    unreplaced: list[tuple[Tensor, ...]]
    arguments: CallArguments
    channels: PixelChannels | GroupedChannels
    full: Scores
    calibration: Calibration
    stakes: Stakes

    @cached_property
    def held_log_odds(self) -> Tensor:
        """The log-odds that tell whether an image still shows the class, of shape (N,)."""
        return (HELD_SHARE * self.full.probability).logit()

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.inputs[0])

    def take(self: Own, rows: Tensor) -> Own:
        """Return some of the images."""
        references = _rows(self.references, rows)
        as_given = self.unreplaced is self.references  # and need no copies of their own
        return replace(
            self,
            inputs=tuple(x[rows] for x in self.inputs),
            references=references,
            unreplaced=references if as_given else _rows(self.unreplaced, rows),
            arguments=self.arguments.take(rows),
            channels=self.channels.take(rows),
            full=self.full.take(rows),
            calibration=self.calibration.take(rows),
            stakes=self.stakes.take(rows),
        )

    def against(self: Own, reference: int) -> Own:
        """Return the images with one of their references, which is then the first."""
        return replace(
            self,
            references=[self.references[reference]],
            stakes=self.stakes.against(reference),
        )


def _rows(references: list[tuple[Tensor, ...]], rows: Tensor) -> list[tuple[Tensor, ...]]:
    """Return references of some of the images; one that serves all stays as it is."""
    return [tuple(r if len(r) == 1 else r[rows] for r in own) for own in references]


@dataclass(frozen=True)
class Settings:
    """How long and how fast to train.

    Args:
        n_steps (int): Most steps per image.
        learning_rate (float): Of Adam, in logits.
        tolerance (float): An image is finished when its mean weight change over a few steps falls
            below this; 0 never stops early.
        seed (int or None): Draw the reference of each step with this seed; None goes through
            them in turn. Every image sees the same ones, whatever batch it is in.
    """

    n_steps: int
    learning_rate: float
    tolerance: float
    seed: int | None = None

    def reference_at(self, step: int, n_references: int) -> int:
        """Return which reference a step blends against."""
        if self.seed is None:
            return step % n_references
        # A text as seed, or those of one call would be those of the next shifted by a step.
        return random.Random(f"{self.seed}, {step}").randrange(n_references)

    def references_seen(self, n_references: int) -> list[int]:
        """Return the references that steps blend against, in the order they come."""
        seen = (self.reference_at(step, n_references) for step in range(self.n_steps))
        return list(dict.fromkeys(seen))


class Problem:
    """The objective of a network on images, as a function of the blending weights."""

    def __init__(self, network: RunNetwork, terms: Sequence[Term], score: ScoreKind) -> None:
        self.network = network
        self.terms = terms
        self.score = score

    def read(
        self, output: Tensor, arguments: CallArguments, calibration: Calibration | None
    ) -> Scores:
        """Read what the network returned as scores of the targets."""
        scores, classes = select_classes(output, arguments.chosen)
        return read_scores(scores, classes, self.score, calibration, arguments.competing)

    def log_odds(
        self, inputs: tuple[Tensor, ...], arguments: CallArguments, calibration: Calibration
    ) -> Tensor:
        """Return the log-odds of the targets that the network sees in inputs."""
        return self.read(self.network(inputs, arguments), arguments, calibration).log_odds

    def scores(self, images: Images, weights: tuple[Tensor, ...], reference: int) -> Scores:
        """Return the scores of the blends against one reference, then of their complements."""
        batch = tuple(
            blend_and_complement(x, r, w)
            for x, r, w in zip(images.inputs, images.references[reference], weights, strict=True)
        )
        arguments = images.arguments.twice
        output = self.network(batch, arguments)
        if torch.is_grad_enabled():
            check_differentiable(output)
        return self.read(output, arguments, images.calibration)

    def probabilities(
        self, images: Images, weights: tuple[Tensor, ...], reference: int, at_once: int
    ) -> tuple[Tensor, Tensor]:
        """Return the target's probability on blends and on complements, so many made at once."""
        places = torch.arange(len(images), device=images.inputs[0].device)
        parts = [
            self.scores(images.take(rows), tuple(w[rows] for w in weights), reference).halves()
            for rows in places.split(at_once)
        ]
        kept = torch.cat([preserved.probability for preserved, _ in parts])
        return kept, torch.cat([removed.probability for _, removed in parts])

    def loss(
        self, images: Images, factors: Factors, progress: float | Tensor, n_steps: int
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Return the objective of each image, whether its weights hold the class, and the weights.

        The weights are as they are mixed: they take part in the scores and in nothing else.

        Args:
            images (Images): The images, blended against the first of their references.
            factors (list of tuple of Tensor): The factors of the weights of each input.
            progress (float or Tensor): Share of the steps already done, in [0, 1].
            n_steps (int): How many steps are made at most.
        """
        weights = images.channels.weights(factors)
        mixed = tuple(own.view_as(own) for own in weights)
        scores = self.scores(images, mixed, reference=0)
        preserved, removed = images.stakes.read(scores, reference=0).halves()
        blended = Blended(weights, preserved, removed, images.full, progress, n_steps)
        holds = (preserved.log_odds.detach() >= 0) & (removed.log_odds.detach() < 0)
        return total_loss(self.terms, blended), holds, mixed
