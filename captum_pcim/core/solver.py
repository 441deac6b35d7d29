"""The batched optimiser that trains the blending weights of many images at once.

Images never meet: losses are summed, state is per image, and a finished image leaves the batch.
Nothing in the loop waits for the device; only every `CHECK_EVERY` steps, and only where early
stopping is on, the host looks which images are finished.

What is read off its path stands in :mod:`captum_pcim.core.readout`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import add, or_

import torch
from torch import Tensor

from captum_pcim.core import adam
from captum_pcim.core.channels import Factors, flattened, grouped
from captum_pcim.core.effects import Effects
from captum_pcim.core.moments import Moment, moments
from captum_pcim.core.objective import mean_weight
from captum_pcim.core.problem import Images, Problem, Settings
from captum_pcim.core.readout import Holding, Ranking, read_off
from captum_pcim.core.replay import Replay

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
        reached (Tensor): Whether a gradient of the network reached the weights on any step, (N,).
        differentiable (Tensor): Whether all gradients were finite, of shape (N,).
    """

    factors: Factors
    n_steps: Tensor
    n_forwards: Tensor
    loss_history: Tensor
    reached: Tensor
    differentiable: Tensor


Solve = Callable[[Problem, Images, Settings, Callable[..., object]], Solution]


class _Trained:
    """The logits of the running images side by side, and the optimiser that moves them."""

    def __init__(self, images: Images, learning_rate: float) -> None:
        initial = images.channels.initial_logits(images.inputs)
        self.sizes = [len(own) for own in initial]
        self.shapes = [p.shape[1:] for own in initial for p in own]
        self.dtypes = [p.dtype for own in initial for p in own]
        # Of the widest of their dtypes, where inputs are of several.
        self.flat = torch.cat([p.detach().flatten(1) for own in initial for p in own], 1)
        widths = [shape.numel() for shape in self.shapes]
        self.optimiser = adam.Adam(self.flat, widths, learning_rate)

    def leaves(self) -> list[Tensor]:
        """Return the logits of each grid, to be differentiated by."""
        parts = self.flat.split(self.optimiser.widths, 1)
        return [
            part.unflatten(1, shape).detach().to(dtype).requires_grad_()
            for part, shape, dtype in zip(parts, self.shapes, self.dtypes, strict=True)
        ]

    def descend(self, gradients: Sequence[Tensor], moments: adam.Moments) -> None:
        """Take one step down the gradient of a loss with respect to the leaves."""
        gradient = torch.cat([gradient.flatten(1) for gradient in gradients], 1)
        self.optimiser.step(self.flat, gradient, moments)

    def take(self, rows: Tensor) -> None:
        """Keep some of the images."""
        self.flat = self.flat[rows]
        self.optimiser.take(rows)


@dataclass(frozen=True)
class _Step:
    """What a step was like, one row per running image.

    Args:
        factors (list of Tensor): Those of the weights that were blended.
        holds (Tensor): Whether they hold the class.
        loss (Tensor): The objective.
        reached (Tensor): Whether a gradient of the network, the price's aside, reached the weights.
        total (Tensor): Sum of the gradient, which is finite where all of it is.
    """

    factors: list[Tensor]
    holds: Tensor
    loss: Tensor
    reached: Tensor
    total: Tensor

    def clone(self) -> "_Step":
        """Return a copy, in memory of its own."""
        rest = (own.clone() for own in (self.holds, self.loss, self.reached, self.total))
        return _Step([factor.clone() for factor in self.factors], *rest)


class _History:
    """What is written down of all images: losses, steps, and the factors of finished ones."""

    def __init__(self, n_images: int, n_steps: int, like: Tensor) -> None:
        self.losses = like.new_full((n_images, n_steps), torch.nan)
        self.n_steps = torch.zeros(n_images, dtype=torch.int64, device=like.device)
        self.reached = torch.zeros(n_images, dtype=torch.bool, device=like.device)
        self.differentiable = torch.ones(n_images, dtype=torch.bool, device=like.device)
        self.factors: list[Tensor] = []
        # Of the running images since one has left: loss, reached and total of each step.
        self.recent: list[tuple[Tensor, Tensor, Tensor]] = []
        self.n_written = 0  # steps before those

    def add(self, step: _Step) -> None:
        """Note what one step was like."""
        self.recent.append((step.loss, step.reached, step.total))

    def write_steps(self, rows: Tensor) -> None:
        """Write down what the steps were like since an image last left."""
        if not self.recent:
            return
        n_written, self.n_written = self.n_written, self.n_written + len(self.recent)
        losses, reached, totals = (torch.stack(own, 1) for own in zip(*self.recent, strict=True))
        self.losses[rows, n_written : self.n_written] = losses.to(self.losses.dtype)
        self.n_steps[rows] = self.n_written
        self.reached[rows] |= reached.any(1)
        self.differentiable[rows] &= totals.isfinite().all(1)
        self.recent = []

    def write_factors(self, rows: Tensor, factors: Sequence[Tensor]) -> None:
        """Write down the factors of finished images."""
        if not self.factors:
            self.factors = [f.new_zeros(len(self.losses), *f.shape[1:]) for f in factors]
        for found, factor in zip(self.factors, factors, strict=True):
            found[rows] = factor


class _Run:
    """The images that are still being trained, and what is known of those that are finished."""

    def __init__(
        self, problem: Problem, images: Images, settings: Settings, cuda_graphs: bool
    ) -> None:
        self.problem = problem
        self.images = images
        self.settings = settings
        like, n_references = images.inputs[0], len(images.references)
        self.trained = _Trained(images, settings.learning_rate)
        factors = self._factors()
        self.sizes = [len(own) for own in factors]  # the number of factors of each input
        flat = flattened(factors)
        self.effects = Effects.of(problem, images, factors, settings.references_seen(n_references))
        self.ranking, self.holding = Ranking(flat), Holding(flat, n_references)
        self.moments = moments(settings.n_steps, self.trained.flat)
        self.against = [images.against(reference) for reference in range(n_references)]
        self.history = _History(len(images), settings.n_steps, like)
        self.rows = torch.arange(len(images), device=like.device)
        self.before = images.channels.weights(factors) if settings.tolerance > 0 else ()
        self.one = like.new_ones(())
        self.replay = Replay[_Step](self.moments[0]) if cuda_graphs and like.is_cuda else None

    def step(self, number: int) -> None:
        """Improve all running images once, and note what a map needs."""
        n_steps, n_references = self.settings.n_steps, len(self.against)
        reference = self.settings.reference_at(number, n_references)
        images, moment = self.against[reference], self.moments[number]
        if number + 1 == n_steps:  # no step would see what this one changes
            step = self.see(images, moment)
        elif self.replay is None:
            step = self.improve(images, moment)
        else:
            step = self.replay(partial(self.improve, images), reference, moment)
        self.ranking.add(step.factors, moment.share)
        early = number < SETTLING * n_steps
        self.holding.add(step.factors, step.holds, reference, early=early)
        self.history.add(step)

    def improve(self, images: Images, moment: Moment) -> _Step:
        """Move the weights of all running images once."""
        leaves = self.trained.leaves()
        factors = images.channels.factors(grouped(leaves, self.trained.sizes))
        ours = flattened(factors)
        now = [factor.detach().requires_grad_() for factor in ours]
        loss, holds, mixed = self._loss(images, grouped(now, self.sizes), moment)
        gradients = torch.autograd.grad(
            loss, (*mixed, *now), self.one.expand_as(loss), materialize_grads=True
        )
        of_mixed, of_factors = gradients[: len(mixed)], gradients[len(mixed) :]
        cleaned = [gradient.nan_to_num(0.0, 0.0, 0.0) for gradient in of_factors]
        of_leaves = torch.autograd.grad(ours, leaves, cleaned)
        with torch.no_grad():
            self.trained.descend(of_leaves, moment.adam)
        return _Step(
            [factor.detach() for factor in ours],
            holds,
            loss.detach(),
            reached=reduce(or_, [gradient.flatten(1).any(1) for gradient in of_mixed]),
            total=reduce(add, [gradient.flatten(1).sum(1) for gradient in of_factors]),
        )

    @torch.no_grad()
    def see(self, images: Images, moment: Moment) -> _Step:
        """Look at the weights of all running images and leave them as they are."""
        factors = self._factors()
        loss, holds, _ = self._loss(images, factors, moment)
        ours = flattened(factors)
        return _Step(
            ours, holds, loss, reached=torch.zeros_like(holds), total=torch.zeros_like(loss)
        )

    def drop_finished(self) -> None:
        """Take the images whose weights have come to rest out of the batch."""
        weights = self.images.channels.weights(self._factors())
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
            self.against = [self.images.against(r) for r in range(len(self.against))]
            self.before = tuple(w[running] for w in weights)
            self.effects = self.effects.take(running)
            for part in (self.trained, self.ranking, self.holding):
                part.take(running)
            if self.replay is not None:
                self.replay.forget()

    def solution(self) -> Solution:
        """Return what was found for all images, in their order."""
        self._keep(torch.arange(len(self.rows), device=self.rows.device))
        history = self.history
        factors = grouped(history.factors, self.sizes)
        n_forwards = 2 * history.n_steps + self.effects.n_forwards
        return Solution(
            factors, history.n_steps, n_forwards, history.losses, history.reached,
            history.differentiable,
        )  # fmt: skip

    def _keep(self, finished: Tensor) -> None:
        """Write down what was found for finished images, given their places among the running."""
        found = read_off(
            [average[finished] for average in self.ranking.average],
            [values[finished] for values in self.holding.values()],
            self.effects.take(finished),
        )
        self.history.write_factors(self.rows[finished], found)
        self.history.write_steps(self.rows)

    def _loss(
        self, images: Images, factors: Factors, moment: Moment
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        return self.problem.loss(images, factors, moment.progress, self.settings.n_steps)

    def _factors(self) -> Factors:
        with torch.no_grad():
            leaves = grouped(self.trained.leaves(), self.trained.sizes)
            return self.images.channels.factors(leaves)


def solve(
    problem: Problem,
    images: Images,
    settings: Settings,
    on_step: Callable[[], object],
    *,
    cuda_graphs: bool = False,
) -> Solution:
    """Train the blending logits of all images together.

    Args:
        problem (Problem): The objective.
        images (Images): The images of one chunk.
        settings (Settings): Steps, rate, early stop and the order of the references.
        on_step (Callable): Called after every step, for progress.
        cuda_graphs (bool): On a GPU, replay the steps as CUDA graphs where the network allows it.

    Returns:
        Solution: The trained weights, and the steps and losses of each image.
    """
    run = _Run(problem, images, settings, cuda_graphs)
    for step in range(settings.n_steps):
        run.step(step)
        on_step()
        if settings.tolerance > 0 and (step + 1) % CHECK_EVERY == 0:
            run.drop_finished()
            if len(run.rows) == 0:
                break
    return run.solution()
