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
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from captum_pcim.core.adam import Adam
from captum_pcim.core.channels import Factors, Logits, grouped, per_image
from captum_pcim.core.objective import mean_weight
from captum_pcim.core.problem import Images, Problem, Settings

CHECK_EVERY = 5
MEMORY = 0.35  # of the moving average, as a share of the steps
SETTLING = 2 / 3  # of the steps are done before weights must hold the class to be the last


@dataclass(frozen=True)
class Solution:
    """What the optimiser found, one row per image.

    Args:
        factors (list of tuple of Tensor): The trained factors of each input.
        n_steps (Tensor): Steps taken, of shape (N,).
        n_forwards (Tensor): Forward passes spent, of shape (N,).
        loss_history (Tensor): The objective at each step, (N, n_steps); NaN after the last one.
        moved (Tensor): Whether any step moved any weight, of shape (N,).
    """

    factors: Factors
    n_steps: Tensor
    n_forwards: Tensor
    loss_history: Tensor
    moved: Tensor


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


class _Trained:
    """The logits of the running images and the optimiser that moves them."""

    def __init__(self, images: Images, learning_rate: float) -> None:
        initial = images.channels.initial_logits(images.inputs)
        self.sizes = [len(own) for own in initial]
        self.initial = [p.detach().clone() for own in initial for p in own]
        self.flat = [p.requires_grad_() for own in initial for p in own]
        self.optimiser = Adam(self.flat, learning_rate)

    def logits(self) -> Logits:
        """Return the logits, input by input."""
        return grouped(self.flat, self.sizes)

    def descend(self, loss: Tensor) -> None:
        """Take one step down the gradient of a loss."""
        gradients = torch.autograd.grad(loss, self.flat)
        with torch.no_grad():
            self.optimiser.step(self.flat, gradients)

    def moved(self) -> Tensor:
        """Tell which images' logits are no longer as they were, of shape (running,)."""
        pairs = zip(self.flat, self.initial, strict=True)
        return torch.stack([(p != start).flatten(1).any(1) for p, start in pairs]).any(0)

    def take(self, rows: Tensor) -> None:
        """Keep some of the images."""
        self.initial = [p[rows] for p in self.initial]
        self.flat = [p.detach()[rows].requires_grad_() for p in self.flat]
        self.optimiser.take(rows)


class _Ranking:
    """A moving average of the factors, which ranks the pixels."""

    def __init__(self, n_steps: int) -> None:
        self.fading = math.exp(-1 / (MEMORY * n_steps))
        self.average: list[Tensor] = []
        self.n_averaged = 0.0

    def add(self, factors: Sequence[Tensor]) -> None:
        """Average the factors of one step in."""
        self.n_averaged = 1 + self.fading * self.n_averaged
        if not self.average:
            self.average = [torch.zeros_like(factor) for factor in factors]
        for average, factor in zip(self.average, factors, strict=True):
            average.lerp_(factor, 1 / self.n_averaged)

    def take(self, rows: Tensor) -> None:
        """Keep some of the images."""
        self.average = [average[rows] for average in self.average]


class _Holding:
    """The factors of the last step that held the class, from the time the price has settled."""

    def __init__(self, n_images: int, n_references: int, device: torch.device) -> None:
        # By image and reference, at the last step that blended against it.
        self.holds = torch.ones(n_images, n_references, dtype=torch.bool, device=device)
        self.last: list[Tensor] = []

    def add(self, factors: Sequence[Tensor], holds: Tensor, reference: int, settling: bool) -> None:
        """Take the factors of one step where they come early, or hold with every reference."""
        self.holds[:, reference] = holds
        kept = list(factors)
        if settling:
            holds = self.holds.all(1)
            pairs = zip(factors, self.last, strict=True)
            kept = [torch.where(per_image(holds, now), now, last) for now, last in pairs]
        self.last = kept

    def take(self, rows: Tensor) -> None:
        """Keep some of the images."""
        self.holds = self.holds[rows]
        self.last = [last[rows] for last in self.last]


class _History:
    """What is written down of all images: losses, steps, and the factors of finished ones."""

    def __init__(self, n_images: int, n_steps: int, like: Tensor) -> None:
        self.losses = like.new_full((n_images, n_steps), torch.nan)
        self.n_steps = torch.zeros(n_images, dtype=torch.int64, device=like.device)
        self.moved = torch.zeros(n_images, dtype=torch.bool, device=like.device)
        self.factors: list[Tensor] = []
        self.recent: list[Tensor] = []  # losses of the running images, since one has left
        self.n_written = 0  # steps before those

    def add(self, loss: Tensor) -> None:
        """Note the losses of one step."""
        self.recent.append(loss)

    def write_losses(self, rows: Tensor) -> None:
        """Write down the losses of the steps since an image last left."""
        if not self.recent:
            return
        n_written, self.n_written = self.n_written, self.n_written + len(self.recent)
        losses = torch.stack(self.recent, 1).to(self.losses.dtype)
        self.losses[rows, n_written : self.n_written] = losses
        self.n_steps[rows] = self.n_written
        self.recent = []

    def write_factors(self, rows: Tensor, factors: Sequence[Tensor]) -> None:
        """Write down the factors of finished images."""
        if not self.factors:
            self.factors = [f.new_zeros(len(self.losses), *f.shape[1:]) for f in factors]
        for found, factor in zip(self.factors, factors, strict=True):
            found[rows] = factor


class _Run:
    """The images that are still being trained, and what is known of those that are finished."""

    def __init__(self, problem: Problem, images: Images, settings: Settings) -> None:
        self.problem = problem
        self.images = images
        self.settings = settings
        like = images.inputs[0]
        self.trained = _Trained(images, settings.learning_rate)
        self.ranking = _Ranking(settings.n_steps)
        self.holding = _Holding(len(images), len(images.references), like.device)
        self.history = _History(len(images), settings.n_steps, like)
        self.rows = torch.arange(len(images), device=like.device)
        self.before = self._weights() if settings.tolerance > 0 else ()

    def step(self, step: int) -> None:
        """Improve all running images once."""
        factors = self.images.channels.factors(self.trained.logits())
        loss, holds = self.problem.loss(self.images, factors, step, self.settings)
        if step + 1 < self.settings.n_steps:  # no step would see what the last one changes
            self.trained.descend(loss.sum())
        now = [factor.detach() for own in factors for factor in own]
        reference = self.settings.reference_at(step, len(self.images.references))
        settling = step >= SETTLING * self.settings.n_steps
        with torch.no_grad():
            self.history.add(loss.detach())
            self.ranking.add(now)
            self.holding.add(now, holds, reference, settling)

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
            self._keep((~is_running).nonzero().squeeze(1))
            self.rows = self.rows[running]
            self.images = self.images.take(running)
            self.before = tuple(w[running] for w in weights)
            for part in (self.trained, self.ranking, self.holding):
                part.take(running)

    def solution(self) -> Solution:
        """Return what was found for all images, in their order."""
        self._keep(torch.arange(len(self.rows), device=self.rows.device))
        history = self.history
        factors = grouped(history.factors, self.trained.sizes)
        n_steps = history.n_steps
        return Solution(factors, n_steps, 2 * n_steps, history.losses, history.moved)

    def _keep(self, finished: Tensor) -> None:
        """Write down what was found for finished images, given their places among the running."""
        pairs = zip(self.ranking.average, self.holding.last, strict=True)
        found = [in_order_of(average[finished], last[finished]) for average, last in pairs]
        self.history.write_factors(self.rows[finished], found)
        self.history.write_losses(self.rows)
        self.history.moved[self.rows] = self.trained.moved()

    def _weights(self) -> tuple[Tensor, ...]:
        with torch.no_grad():
            channels = self.images.channels
            return channels.weights(channels.factors(self.trained.logits()))


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
