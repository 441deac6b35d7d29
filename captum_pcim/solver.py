"""The batched optimiser that trains the blending weights of many images at once.

Images never meet: losses are summed, state is per image, and a finished image leaves the batch.
Nothing in the loop waits for the device; only every `CHECK_EVERY` steps, and only where early
stopping is on, the host looks which images are finished.

The map is a moving average of the weights over the steps, recent ones counting more: while the
area's price rises, a pixel keeps its weight for as long as it is worth the price, so the average
ranks pixels by their worth where the last step only knows in from out.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from captum_pcim.blending import blend_and_complement
from captum_pcim.checks import check_differentiable
from captum_pcim.forward import CallArguments, RunNetwork
from captum_pcim.isolation import GroupedChannels, PixelChannels
from captum_pcim.objective import Blended, Term, mean_weight, total_loss
from captum_pcim.scores import Calibration, ScoreKind, Scores, read_scores, select_classes

CHECK_EVERY = 5
ADAM_BETAS = (0.8, 0.9)
MEMORY = 0.2  # of the moving average, as a share of the steps
ADAM_EPSILON = 1e-8

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

    def loss(self, images: Images, factors: Factors, step: int, settings: Settings) -> Tensor:
        """Return the objective of each image at a step, of shape (N,)."""
        weights = images.channels.weights(factors)
        reference = settings.reference_at(step, len(images.references))
        preserved, removed = self.scores(images, weights, reference)
        progress = step / max(1, settings.n_steps - 1)
        blended = Blended(weights, preserved, removed, images.full, progress)
        return total_loss(self.terms, blended)


Solve = Callable[[Problem, Images, Settings, Callable[..., object]], Solution]


class Adam:
    """Adam (Kingma and Ba 2015) on logits, in two ways its own.

    Rows can be dropped while it runs. And where Adam divides each logit's step by the size of its
    own gradient, which makes strong and weak evidence move alike, this divides by the geometric
    mean of that and the size over the image: half of the gradient's proportions are kept.

    Args:
        parameters (sequence of Tensor): Logits, one row per image.
        learning_rate (float): Step size in logits.
    """

    def __init__(self, parameters: Sequence[Tensor], learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self.first = [torch.zeros_like(p) for p in parameters]
        self.second = [torch.zeros_like(p) for p in parameters]
        self.n_updates = 0

    def step(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """Update the parameters in place. Gradients that are not finite count as zero."""
        self.n_updates += 1
        correction_1 = 1 - ADAM_BETAS[0] ** self.n_updates
        correction_2 = 1 - ADAM_BETAS[1] ** self.n_updates
        states = zip(parameters, gradients, self.first, self.second, strict=True)
        for parameter, gradient, first, second in states:
            gradient = gradient.nan_to_num(0.0, 0.0, 0.0)
            first.lerp_(gradient, 1 - ADAM_BETAS[0])
            second.lerp_(gradient.square(), 1 - ADAM_BETAS[1])
            scale = sizes(second / correction_2).add_(ADAM_EPSILON)
            parameter.addcdiv_(first, scale, value=-self.learning_rate / correction_1)

    def take(self, rows: Tensor) -> None:
        """Keep the state of some of the images."""
        self.first = [state[rows] for state in self.first]
        self.second = [state[rows] for state in self.second]


def sizes(second: Tensor) -> Tensor:
    """Return the geometric mean of each gradient's size and the size over its image.

    Args:
        second (Tensor): Mean squares of the gradients, one row per image. Zeros, as groups have
            that are not in the image, do not count.
    """
    axes = tuple(range(1, second.ndim))
    n_moving = second.count_nonzero(axes).clamp_min(1).view(-1, *[1] * len(axes))
    over_image = second.sum(axes, keepdim=True) / n_moving
    return second.sqrt().mul_(over_image.sqrt_()).sqrt_()


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
        with torch.no_grad():
            factors = self._factors()
        self.before = images.channels.weights(factors)
        device = images.inputs[0].device
        self.rows = torch.arange(len(images), device=device)
        self.average = [torch.zeros_like(factor) for own in factors for factor in own]
        self.found = self.average  # the same tensors, until an image leaves
        self.fading = math.exp(-1 / (MEMORY * settings.n_steps))
        self.n_averaged = 0.0
        self.history = images.inputs[0].new_full((len(images), settings.n_steps), torch.nan)
        self.n_steps = torch.zeros(len(images), dtype=torch.int64, device=device)

    def step(self, step: int) -> None:
        """Improve all running images once."""
        factors = self._factors()
        loss = self.problem.loss(self.images, factors, step, self.settings)
        gradients = torch.autograd.grad(loss.sum(), self.parameters)
        with torch.no_grad():
            self.optimiser.step(self.parameters, gradients)
            self.history[self.rows, step] = loss.detach().to(self.history.dtype)
            self.n_steps[self.rows] += 1
            self._remember(factors)

    def drop_finished(self) -> None:
        """Take the images whose weights have come to rest out of the batch."""
        weights = self._weights()
        resting = mean_weight(
            tuple((w - b).abs() for w, b in zip(weights, self.before, strict=True))
        )
        running = (resting >= self.settings.tolerance).nonzero().squeeze(1)
        self.before = weights
        if len(running) < len(self.rows):
            self._keep()
            self.rows = self.rows[running]
            self.images = self.images.take(running)
            self.before = tuple(w[running] for w in weights)
            self.parameters = [p.detach()[running].requires_grad_() for p in self.parameters]
            self.average = [average[running] for average in self.average]
            self.optimiser.take(running)

    def solution(self) -> Solution:
        """Return what was found for all images, in their order."""
        self._keep()
        factors = _grouped(self.found, self.sizes)
        return Solution(factors, self.n_steps, 2 * self.n_steps, self.history)

    def _keep(self) -> None:
        for found, average in zip(self.found, self.average, strict=True):
            if found is not average:
                found[self.rows] = average

    def _remember(self, factors: Factors) -> None:
        self.n_averaged = 1 + self.fading * self.n_averaged
        now = (factor for own in factors for factor in own)
        for average, factor in zip(self.average, now, strict=True):
            average.lerp_(factor, 1 / self.n_averaged)

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
