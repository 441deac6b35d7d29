"""The batched optimiser that trains the blending weights of many images at once.

Images never meet: losses are summed, state is per image, and a finished image leaves the batch.
Nothing in the loop waits for the device; only every `CHECK_EVERY` steps, and only where early
stopping is on, the host looks which images are finished.

What is read off its path stands in :mod:`captum_pcim.core.readout`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from captum_pcim.core.adam import Adam
from captum_pcim.core.channels import Factors, Logits, grouped
from captum_pcim.core.objective import mean_weight
from captum_pcim.core.problem import Images, Problem, Settings
from captum_pcim.core.readout import Holding, Ranking, in_order_of

CHECK_EVERY = 5
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
        differentiable (Tensor): Whether all gradients were finite, of shape (N,).
    """

    factors: Factors
    n_steps: Tensor
    n_forwards: Tensor
    loss_history: Tensor
    moved: Tensor
    differentiable: Tensor


Solve = Callable[[Problem, Images, Settings, Callable[..., object]], Solution]


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

    def descend(self, factors: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """Take one step down the gradient of a loss with respect to the factors."""
        gradients = torch.autograd.grad(factors, self.flat, gradients)
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


class _History:
    """What is written down of all images: losses, steps, and the factors of finished ones."""

    def __init__(self, n_images: int, n_steps: int, like: Tensor) -> None:
        self.losses = like.new_full((n_images, n_steps), torch.nan)
        self.n_steps = torch.zeros(n_images, dtype=torch.int64, device=like.device)
        self.moved = torch.zeros(n_images, dtype=torch.bool, device=like.device)
        self.differentiable = torch.ones(n_images, dtype=torch.bool, device=like.device)
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
        self.ranking = Ranking(settings.n_steps)
        self.holding = Holding(len(images), len(images.references), like.device)
        self.history = _History(len(images), settings.n_steps, like)
        self.rows = torch.arange(len(images), device=like.device)
        self.sizes: list[int] = []  # the number of factors of each input
        self.before = self._weights() if settings.tolerance > 0 else ()

    def step(self, step: int) -> None:
        """Improve all running images once."""
        by_input = self.images.channels.factors(self.trained.logits())
        self.sizes = [len(own) for own in by_input]
        factors = [factor for own in by_input for factor in own]
        now = [factor.detach().requires_grad_() for factor in factors]
        given = grouped(now, self.sizes)
        loss, holds = self.problem.loss(self.images, given, step, self.settings)
        if step + 1 < self.settings.n_steps:  # no step would see what the last one changes
            gradients = self._finite(torch.autograd.grad(loss.sum(), now))
            self.trained.descend(factors, gradients)
            self.ranking.add_gradients(gradients)
        reference = self.settings.reference_at(step, len(self.images.references))
        settling = step >= SETTLING * self.settings.n_steps
        with torch.no_grad():
            now = [factor.detach() for factor in now]
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
        factors = grouped(history.factors, self.sizes)
        n_steps = history.n_steps
        return Solution(
            factors, n_steps, 2 * n_steps, history.losses, history.moved, history.differentiable
        )

    def _finite(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """Note the images of gradients that are NaN or infinite, which count as zero."""
        finite = [gradient.isfinite().flatten(1).all(1) for gradient in gradients]
        self.history.differentiable[self.rows] &= torch.stack(finite).all(0)
        return [gradient.nan_to_num(0.0, 0.0, 0.0) for gradient in gradients]

    def _keep(self, finished: Tensor) -> None:
        """Write down what was found for finished images, given their places among the running."""
        order = self.ranking.order(self.images.channels, self.sizes)
        found = [
            in_order_of(ranking[finished], values[finished])
            for ranking, values in zip(order, self.holding.values(), strict=True)
        ]
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
