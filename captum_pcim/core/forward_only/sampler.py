r"""The estimator behind :class:`captum_pcim.core.gradients.ForwardOnly`: learn, then train.

The problem stays the one the solver solves: same objective, references, channels. Passes are spent
on random masks, each scored as blend and as complement, the references in turn. Half of them know
nothing of the image; the others are drawn in two rounds around what the masks so far say. After
every round a linear surrogate is fitted to all masks seen, see
:mod:`captum_pcim.core.forward_only.surrogate`; the last one takes the network's place and the
solver trains the weights on it.

The masks of all images come from one seed, so a map does not depend on the images beside it.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from captum_pcim.core import solver
from captum_pcim.core.channels import Factors
from captum_pcim.core.chunks import is_out_of_memory
from captum_pcim.core.forward_only.masks import random_masks
from captum_pcim.core.forward_only.surrogate import Observations, evidence, features, learn
from captum_pcim.core.network import CallArguments, RunNetwork
from captum_pcim.core.problem import Images, Problem, Settings
from captum_pcim.core.readout import in_order_of
from captum_pcim.core.solver import Solution
from captum_pcim.core.warn import warn

ROUNDS = (0.5, 0.25, 0.25)
FEWEST_PAIRS = 8  # per reference
SAME = 1e-3  # log-odds of one image may differ by this between two calls

DrawMask = Callable[[], Factors]


@dataclass(frozen=True)
class Plan:
    """How many passes to spend and how.

    Args:
        n_forwards (int): Passes per image, all told.
        blends_at_once (int): Most blends that are made together, each with its complement.
        forgiving (bool): Leave out masks without a finite score instead of raising.
        seed (int): Of the masks.
    """

    n_forwards: int
    blends_at_once: int
    forgiving: bool
    seed: int

    def n_pairs(self, n_references: int) -> int:
        """Return how many masks can be scored as blend and complement.

        Raises:
            ValueError: If the passes do not even say a little about every reference.
        """
        elsewhere = 1 + 3 * n_references
        n_pairs = (self.n_forwards - elsewhere - 1) // 2
        if n_pairs < FEWEST_PAIRS * n_references:
            least = elsewhere + 1 + 2 * FEWEST_PAIRS * n_references
            raise ValueError(
                f"n_forwards: expected at least {least} passes for {n_references} references, "
                f"got {self.n_forwards}"
            )
        return n_pairs

    def n_repeats(self, n_references: int) -> int:
        """Return how often the full image is scored again: once, or twice to spend all passes."""
        odd = self.n_forwards - 2 - n_references
        return 1 + odd % 2


class Lenient:
    """A network whose failures become NaN scores and one warning.

    The first call must succeed, because without the full images' scores there is no result to
    keep. After a failure the network is not called again.
    """

    def __init__(self, network: RunNetwork) -> None:
        self.network = network
        self.answer: Tensor | None = None
        self.failed = False

    def __call__(self, inputs: tuple[Tensor, ...], arguments: CallArguments) -> Tensor:
        """Return the network's scores, or NaN."""
        if not self.failed:
            try:
                answer = self.network(inputs, arguments)
            except Exception as error:
                if self.answer is None or is_out_of_memory(error):
                    raise
                self._fail(error)
            else:
                self.answer = answer[:1]
                return answer
        assert self.answer is not None
        return torch.full_like(self.answer, math.nan).repeat_interleave(len(inputs[0]), dim=0)

    def _fail(self, error: Exception) -> None:
        self.failed = True
        warn(
            f"forward_func: failed with {type(error).__name__}: {error}; returning the result "
            f"of the passes so far"
        )


@torch.no_grad()
def solve(
    problem: Problem,
    images: Images,
    settings: Settings,
    on_step: Callable[..., object],
    plan: Plan,
) -> Solution:
    """Train the blending logits of all images from forward passes alone.

    Args:
        problem (Problem): The objective; its network is only called, never differentiated.
        images (Images): The images.
        settings (Settings): Of the training on the surrogate.
        on_step (Callable): Called with the passes made since it was last called.
        plan (Plan): The passes to spend.

    Returns:
        Solution: The trained weights; `n_forwards` are the passes made here.

    Raises:
        ValueError: If there are too few passes, or a blend's score is not finite.
    """
    sampler = _Sampler(problem, images, plan, on_step)
    generator = torch.Generator().manual_seed(plan.seed)
    untrained = images.channels.factors(images.channels.initial_logits(images.inputs))
    known: Factors = [tuple(torch.zeros_like(f) for f in own) for own in untrained]
    sampler.repeat_full_images()
    for n_pairs in sampler.rounds():
        sampler.score(partial(random_masks, known, generator), n_pairs)
        learned_problem, learned = learn(problem, images, sampler.seen())
        known = evidence(learned)
    with torch.enable_grad():
        solution = solver.solve(learned_problem, learned, settings, lambda: None)
    # The solver says how much is evidence, the surrogate where: trained on a straight line weights
    # go in or out and know little beyond that.
    ranked = [
        tuple(in_order_of(evidence_of, values) for evidence_of, values in zip(*own, strict=True))
        for own in zip(known, solution.factors, strict=True)
    ]
    n_forwards = torch.full_like(solution.n_steps, sampler.n_forwards)
    return replace(solution, factors=ranked, n_forwards=n_forwards)


class _Sampler:
    """Scores masks of all images and keeps what the network answered."""

    def __init__(
        self, problem: Problem, images: Images, plan: Plan, on_step: Callable[[int], object]
    ) -> None:
        self.problem = problem
        self.images = images
        self.plan = plan
        self.on_step = on_step
        self.n_references = len(images.references)
        self.parts: list[Observations] = []
        self.n_forwards = 0
        self.stopped = False

    def rounds(self) -> Iterator[int]:
        """Yield the number of masks of each round, as long as the network answers."""
        n_pairs = self.plan.n_pairs(self.n_references)
        sizes = [round(share * n_pairs) for share in ROUNDS[1:]]
        for size in (n_pairs - sum(sizes), *sizes):
            if not self.stopped:
                yield size

    def repeat_full_images(self) -> None:
        """Score the images again, in reverse order and the first one alone, and compare."""
        backwards = torch.arange(len(self.images) - 1, -1, -1, device=self.images.inputs[0].device)
        for _ in range(self.plan.n_repeats(self.n_references)):
            taken = [self.images.take(r) for r in (backwards[:-1], backwards[-1:]) if len(r)]
            odds = torch.cat(
                [self.problem.log_odds(i.inputs, i.arguments, i.calibration) for i in taken]
            )
            self._count(1)
        difference = float((odds.flip(0) - self.images.full.log_odds).abs().max())
        if difference > SAME:
            warn(
                f"forward_func: the log-odds of an image differ by up to {difference:.3g} "
                f"between two calls; going on, as the map averages over all passes, but it is "
                f"less certain and will not repeat exactly"
            )

    def score(self, draw: DrawMask, n_pairs: int) -> None:
        """Score random masks, batches of the references in turn."""
        at_once = self.n_references * max(1, self.plan.blends_at_once // len(self.images))
        for start in range(0, n_pairs, at_once):
            group = [draw() for _ in range(min(at_once, n_pairs - start))]
            for reference in range(self.n_references):
                batch = group[reference :: self.n_references]
                if batch and not self.stopped:
                    self._score_batch(batch, reference)

    def seen(self) -> Observations:
        """Return everything seen so far."""
        if not any(bool(part.preserved.isfinite().any()) for part in self.parts):
            raise ValueError(
                "forward_func: expected finite scores of masked images, got none; nothing to return"
            )
        return Observations.concatenate(self.parts)

    def _score_batch(self, masks: list[Factors], reference: int) -> None:
        places = torch.arange(len(self.images), device=self.images.inputs[0].device)
        parts = [
            self._scored(masks, reference, rows) for rows in places.split(self.plan.blends_at_once)
        ]
        kept, lost = (torch.cat(own) for own in zip(*(scores for scores, _ in parts), strict=True))
        finite = kept.isfinite() & lost.isfinite()
        if not self.plan.forgiving and not bool(finite.all()):
            bad = (~finite).any(1).nonzero().flatten().tolist()
            raise ValueError(
                f"forward_func: expected finite scores, got NaN or infinity for masked images "
                f"{bad[:5]} after {self.n_forwards} passes"
            )
        if isinstance(self.problem.network, Lenient) and self.problem.network.failed:
            self.stopped = True
            return
        cells = [torch.cat(own) for own in zip(*(cells for _, cells in parts), strict=True)]
        which = torch.full((len(masks),), reference)
        self.parts.append(Observations(cells, kept, lost, which))
        self._count(2 * len(masks))

    def _scored(
        self, masks: list[Factors], reference: int, rows: Tensor
    ) -> tuple[tuple[Tensor, Tensor], list[Tensor]]:
        """Return the log-odds of some images with all masks, blends and complements, and the cells.

        All are on the CPU and of shape (images, masks, ...).
        """
        images = self.images.take(rows.repeat(len(masks)))
        weights = images.channels.weights(_stacked(masks, rows))
        scored = self.problem.scores(images, weights, reference).halves()

        def by_image(values: Tensor) -> Tensor:
            per_mask: Tensor = values.unflatten(0, (len(masks), len(rows)))
            return per_mask.transpose(0, 1).cpu()

        kept, lost = (by_image(scores.log_odds) for scores in scored)
        return (kept, lost), [by_image(f) for f in features(images, weights, reference)]

    def _count(self, n_forwards: int) -> None:
        self.n_forwards += n_forwards
        self.on_step(n_forwards)


def _stacked(masks: list[Factors], rows: Tensor) -> Factors:
    """Put the masks of some images into one batch, mask after mask."""
    return [
        tuple(
            torch.cat([p.expand(len(rows), *p.shape[1:]) if len(p) == 1 else p[rows] for p in same])
            for same in zip(*own, strict=True)
        )
        for own in zip(*masks, strict=True)
    ]
