"""The batched optimiser that trains the blending weights of many images at once.

Images never meet: losses are summed, state is per image, and a finished image leaves the batch.
Nothing in the loop waits for the device; only every `CHECK_EVERY` steps, and only where early
stopping is on, the host looks which images are finished.

The map has the values of the last weights that held the class, in the order of a moving average of
the weights over the steps, recent ones counting more. While the area's price rises, a pixel keeps
its weight for as long as it is worth the price, so the average ranks pixels by their worth, where
weights of one step know little but in from out. Those of the last step that held the class, with
it in the blend and without it in the complement, say how much is needed, where the average has a
haze of all that was ever tried.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from captum_pcim.core.adam import Adam, per_image
from captum_pcim.core.blending import blend_and_complement
from captum_pcim.core.channels import GroupedChannels, PixelChannels
from captum_pcim.core.checks import check_differentiable
from captum_pcim.core.network import CallArguments, RunNetwork
from captum_pcim.core.objective import Blended, Term, mean_weight, total_loss
from captum_pcim.core.scores import Calibration, ScoreKind, Scores, read_scores, select_classes

CHECK_EVERY = 5
MEMORY = 0.35  # of the moving average, as a share of the steps
SETTLING = 2 / 3  # of the steps are done before weights must hold the class to be the last
HELD_SHARE = 0.5  # of the class's probability on the image: blends have more, complements less

Logits = list[tuple[Tensor, ...]]
Factors = list[tuple[Tensor, ...]]


@dataclass(frozen=True)
class Images:
    """The images of one chunk and everything that belongs to them row by row.

    Args:
        inputs (tuple of Tensor): In the dtype that weights are trained in.
        references (list of tuple of Tensor): R references, each one tensor per input with N or
            1 rows.
        arguments (CallArguments): Targets and additional arguments.
        channels: What one pixel channel is.
        full (Scores): The network's calibrated scores of the images themselves.
        calibration (Calibration): Of the scores, per image.
    """

    inputs: tuple[Tensor, ...]
    references: list[tuple[Tensor, ...]]
    arguments: CallArguments
    channels: PixelChannels | GroupedChannels
    full: Scores
    calibration: Calibration

    @cached_property
    def held_log_odds(self) -> Tensor:
        """The log-odds that tell whether an image still shows the class, of shape (N,)."""
        return (HELD_SHARE * self.full.probability).logit()

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.inputs[0])

    def take(self, rows: Tensor) -> "Images":
        """Return some of the images."""
        return Images(
            inputs=tuple(x[rows] for x in self.inputs),
            references=[
                tuple(r if len(r) == 1 else r[rows] for r in reference)
                for reference in self.references
            ],
            arguments=self.arguments.take(rows),
            channels=self.channels.take(rows),
            full=Scores(self.full.log_odds[rows], self.full.log_probabilities[rows]),
            calibration=self.calibration.take(rows),
        )


@dataclass(frozen=True)
class Settings:
    """How long and how fast to train.

    Args:
        n_steps (int): Most steps per image.
        learning_rate (float): Of Adam, in logits.
        tolerance (float): An image is finished when its mean weight change over `CHECK_EVERY`
            steps falls below this; 0 never stops early.
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
        return random.Random(self.seed + step).randrange(n_references)


@dataclass(frozen=True)
class Solution:
    """What the optimiser found, one row per image."""

    factors: Factors
    n_steps: Tensor
    n_forwards: Tensor
    loss_history: Tensor


class Problem:
    """The objective of a network on images, as a function of the blending logits."""

    def __init__(self, network: RunNetwork, terms: Sequence[Term], score: ScoreKind) -> None:
        self.network = network
        self.terms = terms
        self.score = score

    def scores(
        self, images: Images, weights: tuple[Tensor, ...], reference: int
    ) -> tuple[Scores, Scores]:
        """Return the scores of the blends and of their complements against one reference."""
        batch = tuple(
            blend_and_complement(x, r, w)
            for x, r, w in zip(images.inputs, images.references[reference], weights, strict=True)
        )
        arguments = images.arguments.repeat(2)
        output = self.network(batch, arguments)
        if torch.is_grad_enabled():
            check_differentiable(output)
        scores, classes = select_classes(output, arguments.target)
        return read_scores(scores, classes, self.score, images.calibration).halves()

    def loss(
        self, images: Images, factors: Factors, step: int, settings: Settings
    ) -> tuple[Tensor, Tensor]:
        """Return the objective of each image at a step, and whether its weights hold the class."""
        weights = images.channels.weights(factors)
        reference = settings.reference_at(step, len(images.references))
        preserved, removed = self.scores(images, weights, reference)
        progress = step / max(1, settings.n_steps - 1)
        blended = Blended(weights, preserved, removed, images.full, progress)
        kept, left = preserved.log_odds.detach(), removed.log_odds.detach()
        holds = (kept >= images.held_log_odds) & (left < images.held_log_odds)
        return total_loss(self.terms, blended), holds


Solve = Callable[[Problem, Images, Settings, Callable[..., object]], Solution]


def in_order_of(ranking: Tensor, values: Tensor) -> Tensor:
    """Deal each image's values out anew: the largest to the place that ranks first, and so on.

    Args:
        ranking (Tensor): The higher, the larger the value; one row per image.
        values (Tensor): Of the same shape.
    """
    places = ranking.flatten(1).argsort(dim=1, stable=True)
    ordered = values.flatten(1).sort(dim=1).values
    return torch.empty_like(ordered).scatter_(1, places, ordered).view_as(values)


class _Run:
    """The images that are still being trained, and what is known of those that are finished."""

    def __init__(self, problem: Problem, images: Images, settings: Settings) -> None:
        self.problem = problem
        self.images = images
        self.settings = settings
        initial = images.channels.initial_logits(images.inputs)
        self.sizes = [len(own) for own in initial]
        self.parameters = [p.requires_grad_() for own in initial for p in own]
        self.optimiser = Adam(self.parameters, settings.learning_rate)
        self.before = self._weights() if settings.tolerance > 0 else ()
        device = images.inputs[0].device
        self.rows = torch.arange(len(images), device=device)
        with torch.no_grad():
            self.average = [torch.zeros_like(f) for own in self._factors() for f in own]
        self.last: list[Tensor] = []  # factors that held the class, from the first step on
        self.holds = torch.ones(
            len(images), len(images.references), dtype=torch.bool, device=device
        )
        self.found: list[Tensor] = []  # factors of all images, once one is finished
        self.fading = math.exp(-1 / (MEMORY * settings.n_steps))
        self.n_averaged = 0.0
        self.history = images.inputs[0].new_full((len(images), settings.n_steps), torch.nan)
        self.losses: list[Tensor] = []  # of the running images, since one has left
        self.n_written = 0  # steps before those
        self.n_steps = torch.zeros(len(images), dtype=torch.int64, device=device)

    def step(self, step: int) -> None:
        """Improve all running images once."""
        factors = self._factors()
        loss, holds = self.problem.loss(self.images, factors, step, self.settings)
        gradients = torch.autograd.grad(loss.sum(), self.parameters)
        with torch.no_grad():
            self.optimiser.step(self.parameters, gradients)
            self.losses.append(loss.detach())
            self.holds[:, self.settings.reference_at(step, self.holds.shape[1])] = holds
            self._remember(factors, settling=step >= SETTLING * self.settings.n_steps)

    def drop_finished(self) -> None:
        """Take the images whose weights have come to rest out of the batch."""
        weights = self._weights()
        change = mean_weight(
            tuple((w - b).abs() for w, b in zip(weights, self.before, strict=True))
        )
        is_running = change >= self.settings.tolerance
        running = is_running.nonzero().squeeze(1)
        self.before = weights
        if len(running) < len(self.rows):
            self._keep(~is_running)
            self._write_losses()
            self.rows = self.rows[running]
            self.images = self.images.take(running)
            self.before = tuple(w[running] for w in weights)
            self.parameters = [p.detach()[running].requires_grad_() for p in self.parameters]
            self.average = [average[running] for average in self.average]
            self.last = [last[running] for last in self.last]
            self.holds = self.holds[running]
            self.optimiser.take(running)

    def solution(self) -> Solution:
        """Return what was found for all images, in their order."""
        self._keep(torch.ones_like(self.rows, dtype=torch.bool))
        self._write_losses()
        factors = _grouped(self.found, self.sizes)
        return Solution(factors, self.n_steps, 2 * self.n_steps, self.history)

    def _keep(self, finished: Tensor) -> None:
        """Write down the factors of the images that are finished, of shape (running,) bool."""
        if not self.found:
            n_images = len(self.history)
            self.found = [a.new_zeros(n_images, *a.shape[1:]) for a in self.average]
        rows = self.rows[finished]
        for found, average, last in zip(self.found, self.average, self.last, strict=True):
            found[rows] = in_order_of(average[finished], last[finished])

    def _write_losses(self) -> None:
        """Write down the losses of the steps since an image last left."""
        if not self.losses:
            return
        n_written, self.n_written = self.n_written, self.n_written + len(self.losses)
        losses = torch.stack(self.losses, 1).to(self.history.dtype)
        self.history[self.rows, n_written : self.n_written] = losses
        self.n_steps[self.rows] = self.n_written
        self.losses = []

    def _remember(self, factors: Factors, settling: bool) -> None:
        """Average the factors; take as last those that hold the class or come early."""
        self.n_averaged = 1 + self.fading * self.n_averaged
        holds = self.holds.all(1)  # whatever it is blended against
        now = [factor.detach() for own in factors for factor in own]
        for average, factor in zip(self.average, now, strict=True):
            average.lerp_(factor, 1 / self.n_averaged)
        if settling:
            pairs = zip(now, self.last, strict=True)
            now = [torch.where(per_image(holds, factor), factor, last) for factor, last in pairs]
        self.last = now

    def _factors(self) -> Factors:
        return self.images.channels.factors(_grouped(self.parameters, self.sizes))

    def _weights(self) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return self.images.channels.weights(self._factors())


def solve(
    problem: Problem, images: Images, settings: Settings, on_step: Callable[[], object]
) -> Solution:
    """Train the blending logits of all images together.

    Args:
        problem (Problem): The objective.
        images (Images): The images of one chunk.
        settings (Settings): Steps, rate, early stop and the order of the references.
        on_step (Callable): Called after every step, for progress.

    Returns:
        Solution: The trained weights, and the steps and losses of each image.
    """
    run = _Run(problem, images, settings)
    for step in range(settings.n_steps):
        run.step(step)
        on_step()
        if settings.tolerance > 0 and (step + 1) % CHECK_EVERY == 0:
            run.drop_finished()
            if len(run.rows) == 0:
                break
    return run.solution()


def _grouped(parameters: Sequence[Tensor], sizes: Sequence[int]) -> Logits:
    """Hand the flat list of parameters back to the inputs they belong to."""
    remaining = iter(parameters)
    return [tuple(next(remaining) for _ in range(size)) for size in sizes]
