"""The batched optimiser that trains the blending weights of many images at once.

Images never meet: losses are summed, state is per image, and a finished image leaves the batch.
Nothing in the loop waits for the device; only every `CHECK_EVERY` steps, and only where early
stopping is on, the host looks which images are finished.

What is read off its path stands in :mod:`captum_pcim.core.readout`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_

import torch
from torch import Tensor

from captum_pcim.core.adam import Adam, rates
from captum_pcim.core.channels import Factors, grouped
from captum_pcim.core.objective import mean_weight
from captum_pcim.core.problem import Images, Problem, Settings
from captum_pcim.core.readout import Holding, Ranking, in_order_of, shares

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

    def __init__(self, images: Images) -> None:
        initial = images.channels.initial_logits(images.inputs)
        self.sizes = [len(own) for own in initial]
        self.shapes = [p.shape[1:] for own in initial for p in own]
        self.flat = torch.cat([p.detach().flatten(1) for own in initial for p in own], 1)
        self.optimiser = Adam(self.flat, [shape.numel() for shape in self.shapes])

    def leaves(self) -> list[Tensor]:
        """Return the logits of each grid, to be differentiated by."""
        parts = self.flat.split(self.optimiser.widths, 1)
        pairs = zip(parts, self.shapes, strict=True)
        return [part.unflatten(1, shape).detach().requires_grad_() for part, shape in pairs]

    def descend(self, gradients: Sequence[Tensor], rate: Tensor) -> None:
        """Take one step down the gradient of a loss with respect to the leaves."""
        gradient = torch.cat([gradient.flatten(1) for gradient in gradients], 1)
        self.optimiser.step(self.flat, gradient, rate)

    def take(self, rows: Tensor) -> None:
        """Keep some of the images."""
        self.flat = self.flat[rows]
        self.optimiser.take(rows)


@dataclass(frozen=True)
class _Moment:
    """What differs from step to step. All but `progress` are tensors that are made once.

    Args:
        progress (float): Share of the steps already done, in [0, 1].
        rate (Tensor): Of the optimiser, one number.
        share (Tensor): Of this step's weights in their average, one number.
        early (Tensor): Whether the optimisation has not settled yet, one truth value.
        reference (Tensor): True for the reference that is blended against, of shape (R, 1).
    """

    progress: float
    rate: Tensor
    share: Tensor
    early: Tensor
    reference: Tensor


def _moments(settings: Settings, n_references: int, like: Tensor) -> list[_Moment]:
    n_steps = settings.n_steps
    rate = rates(settings.learning_rate, n_steps, like)
    share = shares(n_steps, like)
    no, yes = (torch.full((), known, device=like.device) for known in (False, True))
    reference = torch.eye(n_references, dtype=torch.bool, device=like.device).unsqueeze(2).unbind()
    return [
        _Moment(
            progress=step / (n_steps - 1),
            rate=rate[step],
            share=share[step],
            early=yes if step < SETTLING * n_steps else no,
            reference=reference[settings.reference_at(step, n_references)],
        )
        for step in range(n_steps)
    ]


@dataclass(frozen=True)
class _Step:
    """What a step was like, one row per running image.

    Args:
        loss (Tensor): The objective.
        reached (Tensor): Whether a gradient of the network, the price's aside, reached the weights.
        finite (Tensor): Whether all gradients were finite.
    """

    loss: Tensor
    reached: Tensor
    finite: Tensor


class _History:
    """What is written down of all images: losses, steps, and the factors of finished ones."""

    def __init__(self, n_images: int, n_steps: int, like: Tensor) -> None:
        self.losses = like.new_full((n_images, n_steps), torch.nan)
        self.n_steps = torch.zeros(n_images, dtype=torch.int64, device=like.device)
        self.reached = torch.zeros(n_images, dtype=torch.bool, device=like.device)
        self.differentiable = torch.ones(n_images, dtype=torch.bool, device=like.device)
        self.factors: list[Tensor] = []
        self.recent: list[_Step] = []  # of the running images, since one has left
        self.n_written = 0  # steps before those

    def add(self, step: _Step) -> None:
        """Note what one step was like."""
        self.recent.append(step)

    def write_steps(self, rows: Tensor) -> None:
        """Write down what the steps were like since an image last left."""
        if not self.recent:
            return
        n_written, self.n_written = self.n_written, self.n_written + len(self.recent)
        losses = torch.stack([step.loss for step in self.recent], 1).to(self.losses.dtype)
        self.losses[rows, n_written : self.n_written] = losses
        self.n_steps[rows] = self.n_written
        self.reached[rows] |= torch.stack([step.reached for step in self.recent]).any(0)
        self.differentiable[rows] &= torch.stack([step.finite for step in self.recent]).all(0)
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
        like, n_references = images.inputs[0], len(images.references)
        self.trained = _Trained(images)
        factors = self._factors()
        self.sizes = [len(own) for own in factors]  # the number of factors of each input
        flat = [factor for own in factors for factor in own]
        self.ranking, self.holding = Ranking(flat), Holding(flat, n_references)
        self.moments = _moments(settings, n_references, like)
        self.against = [images.against(reference) for reference in range(n_references)]
        self.history = _History(len(images), settings.n_steps, like)
        self.rows = torch.arange(len(images), device=like.device)
        self.before = images.channels.weights(factors) if settings.tolerance > 0 else ()

    def step(self, step: int) -> None:
        """Improve all running images once."""
        images = self.against[self.settings.reference_at(step, len(self.against))]
        moment = self.moments[step]
        if step + 1 < self.settings.n_steps:
            self.history.add(self.improve(images, moment))
        else:  # no step would see what the last one changes
            with torch.no_grad():
                loss, _ = self.judge(images, self._factors(), moment)
            nothing = torch.zeros_like(loss, dtype=torch.bool)
            self.history.add(_Step(loss, reached=nothing, finite=~nothing))

    def improve(self, images: Images, moment: _Moment) -> _Step:
        """Move the weights of all running images once."""
        leaves = self.trained.leaves()
        factors = images.channels.factors(grouped(leaves, self.trained.sizes))
        ours = [factor for own in factors for factor in own]
        now = [factor.detach().requires_grad_() for factor in ours]
        loss, mixed = self.judge(images, grouped(now, self.sizes), moment)
        gradients = torch.autograd.grad(
            loss, (*mixed, *now), torch.ones_like(loss), materialize_grads=True
        )
        of_mixed, of_factors = gradients[: len(mixed)], gradients[len(mixed) :]
        cleaned = [gradient.nan_to_num(0.0, 0.0, 0.0) for gradient in of_factors]
        of_leaves = torch.autograd.grad(ours, leaves, cleaned)
        with torch.no_grad():
            self.ranking.add_gradients(cleaned)
            self.trained.descend(of_leaves, moment.rate)
        return _Step(
            loss.detach(),
            reached=reduce(or_, [gradient.flatten(1).any(1) for gradient in of_mixed]),
            finite=reduce(and_, [gradient.isfinite().flatten(1).all(1) for gradient in of_factors]),
        )

    def judge(
        self, images: Images, factors: Factors, moment: _Moment
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the objective of each image and the mixed weights, and note what a map needs."""
        loss, holds, mixed = self.problem.loss(images, factors, moment.progress)
        with torch.no_grad():
            now = [factor.detach() for own in factors for factor in own]
            self.ranking.add(now, moment.share)
            self.holding.add(now, holds, moment.reference, moment.early)
        return loss, mixed

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
            for part in (self.trained, self.ranking, self.holding):
                part.take(running)

    def solution(self) -> Solution:
        """Return what was found for all images, in their order."""
        self._keep(torch.arange(len(self.rows), device=self.rows.device))
        history = self.history
        factors = grouped(history.factors, self.sizes)
        n_steps = history.n_steps
        return Solution(
            factors, n_steps, 2 * n_steps, history.losses, history.reached, history.differentiable
        )

    def _keep(self, finished: Tensor) -> None:
        """Write down what was found for finished images, given their places among the running."""
        order = self.ranking.order(self.images.channels, self.sizes, finished)
        found = [
            in_order_of(ranking, values[finished])
            for ranking, values in zip(order, self.holding.values(), strict=True)
        ]
        self.history.write_factors(self.rows[finished], found)
        self.history.write_steps(self.rows)

    def _factors(self) -> Factors:
        with torch.no_grad():
            leaves = grouped(self.trained.leaves(), self.trained.sizes)
            return self.images.channels.factors(leaves)


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
