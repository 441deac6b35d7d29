r"""A linear surrogate of the network's log-odds in the blending weights, learned from masks.

Around an image :math:`x` and a reference :math:`r`, the network's answer to a blend is modelled as

.. math:: \ell_r(\alpha) = a_r + \phi_r \cdot u_r(\alpha), \quad
          u_r(\alpha)_k = \operatorname{mean}_{p \in k} \, d_p \, \alpha_p,

where :math:`u` is what the weights mix in, averaged over the cells :math:`k` of a coarse grid, and
:math:`d_p` how far the pixel is from its reference, in units of the image's, a little of it granted
to all: a pixel that equals its reference changes no blend, so no mask can say anything about it.
The coefficients come from all masks seen so far by Bayesian linear regression. Blends and
complements are fitted together, complements counting a little more; a Gaussian prior makes
neighbouring cells alike, so that a map with far more cells than masks is well determined. What the
amount that is mixed in does by itself (the network's answer to ever emptier images is not linear)
is projected out before, and fitted as a single slope after.

What a pixel does is then :math:`d_p \, \phi_k`, which follows the image wherever its cell
says anything. Averaged over neighbours of like brightness it says what a neighbourhood of the same
cell does, and that ranks the pixels.

With the surrogate in the network's place the objective is differentiable again, and the solver
trains the weights as it does on a network with gradients. The construction is ours.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from captum_pcim.core.channels import Factors, GroupedChannels, flattened, grouped, per_image
from captum_pcim.core.problem import Images, Problem
from captum_pcim.core.scores import Scores
from captum_pcim.core.smoothing import spread

MOST_CELLS = 1024  # of one stain's map
FAINT = 0.1  # contrast that every pixel is granted, in units of the image's
PRIOR_WIDTH = 1 / 22  # of the image's shorter side: standard deviation of the prior's Gaussian
NOISE_VARIANCE = 0.1  # of what the model leaves unexplained, in units of what it explains a priori
TIMES_AVERAGED = 2  # over neighbours of like brightness, before it ranks the pixels
PRESERVED_SHARE = 0.4  # of what blends say in the fit; what their complements say is the rest

_POOL: dict[int, Callable[..., Tensor]] = {
    1: F.adaptive_avg_pool1d,
    2: F.adaptive_avg_pool2d,
    3: F.adaptive_avg_pool3d,
}


@dataclass(frozen=True)
class Observations:
    """The masks seen so far and what the network answered, on the CPU.

    Args:
        features (list of Tensor): Cell averages of n masks, of shape (N, n, ...) per input.
        preserved (Tensor): Log-odds of the blends, (N, n); NaN where there was no answer.
        removed (Tensor): Log-odds of the complements, (N, n).
        references (Tensor): Which reference they were blended against, (n,).
    """

    features: list[Tensor]
    preserved: Tensor
    removed: Tensor
    references: Tensor

    @staticmethod
    def concatenate(parts: Sequence["Observations"]) -> "Observations":
        """Join observations of the same images."""
        return Observations(
            features=[
                torch.cat(own, dim=1) for own in zip(*(p.features for p in parts), strict=True)
            ],
            preserved=torch.cat([p.preserved for p in parts], dim=1),
            removed=torch.cat([p.removed for p in parts], dim=1),
            references=torch.cat([p.references for p in parts]),
        )


@dataclass(frozen=True)
class LearnedImages(Images):
    """Images together with the surrogate that was learned of each.

    Args:
        intercepts (Tensor): Log-odds of the empty blends, of shape (N, R).
        coefficients (Tensor): Of all cells of all inputs, of shape (N, R, cells).
    """

    intercepts: Tensor
    coefficients: Tensor

    def take(self, rows: Tensor) -> "LearnedImages":
        """Return some of the images."""
        return replace(
            super().take(rows),
            intercepts=self.intercepts[rows],
            coefficients=self.coefficients[rows],
        )

    def against(self, reference: int) -> "LearnedImages":
        """Return the images with one of their references."""
        only = slice(reference, reference + 1)
        return replace(
            super().against(reference),
            intercepts=self.intercepts[:, only],
            coefficients=self.coefficients[:, only],
        )


class LearnedProblem(Problem):
    """The same objective with the surrogate in the network's place."""

    def scores(self, images: Images, weights: tuple[Tensor, ...], reference: int) -> Scores:
        """Return the surrogate's scores of the blends, then those of their complements."""
        assert isinstance(images, LearnedImages)
        coefficients = images.coefficients[:, reference]
        mixed_in = (_cells(images, weights, reference) * coefficients).sum(1)
        everything = (_cells(images, _ones(weights), reference) * coefficients).sum(1)
        empty, left_over = images.intercepts[:, reference], everything - mixed_in
        return _two_classes(torch.cat([empty + mixed_in, empty + left_over]))


def features(images: Images, weights: tuple[Tensor, ...], reference: int) -> list[Tensor]:
    """Return what weights mix in, averaged over cells, or over the groups of a feature mask.

    They are linear in the weights, so a complement has what its blend leaves of the whole image.

    Returns:
        list of Tensor: Of shape (N, C, *cells) per input, or (N, G) of groups.
    """
    mixed_in = tuple(
        w * _contrast(x, r, w)
        for w, x, r in zip(weights, images.inputs, images.references[reference], strict=True)
    )
    if isinstance(images.channels, GroupedChannels):
        return [_group_means(images.channels, mixed_in)]
    return [_pooled(m) if m.ndim > 2 else m for m in mixed_in]


def learn(problem: Problem, images: Images, seen: Observations) -> tuple[Problem, LearnedImages]:
    """Return the problem with the surrogate in the network's place.

    Args:
        problem (Problem): The problem on the network.
        images (Images): The images.
        seen (Observations): All masks seen so far.
    """
    kernels = [_kernels(f) for f in seen.features]
    ones = _ones(images.channels.weights(_untrained(images)))
    everything = [_cells(images, ones, r).cpu() for r in range(len(images.references))]
    fitted = [
        [_fit(seen, kernels, whole[image], image, r) for r, whole in enumerate(everything)]
        for image in range(len(images))
    ]
    like = images.inputs[0]
    own = {field.name: getattr(images, field.name) for field in fields(Images)}
    learned = LearnedImages(
        **own | {"full": _two_classes(images.full.log_odds)},
        intercepts=torch.stack([torch.stack([a for a, _ in row]) for row in fitted]).to(like),
        coefficients=torch.stack([torch.stack([c for _, c in row]) for row in fitted]).to(like),
    )
    return LearnedProblem(problem.network, problem.terms, problem.score), learned


def evidence(learned: LearnedImages) -> Factors:
    """Return what each factor does to the surrogate's log-odds, of standard deviation 1.

    This is the gradient at the untrained weights, averaged over neighbours of like brightness.
    References count alike, however far apart the log-odds of their blends are.
    """
    factors = [tuple(f.requires_grad_() for f in own) for own in _untrained(learned)]
    flat = flattened(factors)
    by_reference = []
    for reference in range(len(learned.references)):
        with torch.enable_grad():
            cells = _cells(learned, learned.channels.weights(factors), reference)
            log_odds = (cells * learned.coefficients[:, reference]).sum()
        gradients = grouped(torch.autograd.grad(log_odds, flat), [len(own) for own in factors])
        for _ in range(TIMES_AVERAGED):
            gradients = learned.channels.averaged(gradients)
        by_reference.append([_standardised(f) for f in flattened(gradients)])
    together = [_standardised(torch.stack(own).sum(0)) for own in zip(*by_reference, strict=True)]
    return grouped(together, [len(own) for own in factors])


def _fit(
    seen: Observations, kernels: list[list[Tensor]], everything: Tensor, image: int, reference: int
) -> tuple[Tensor, Tensor]:
    """Return the intercept and the coefficients (cells,) of one image and reference."""
    preserved, removed = seen.preserved[image].double(), seen.removed[image].double()
    rows = (seen.references == reference) & preserved.isfinite() & removed.isfinite()
    preserved, removed = preserved[rows], removed[rows]
    own = [f[image, rows].double() for f in seen.features]
    masks = torch.cat([f.flatten(1) for f in own], dim=1)
    coverage = masks.mean(1)
    nuisance = torch.stack([coverage**0, coverage, coverage**2], dim=1)
    # What a mask adds to its blend is missing in its complement: both give the same coefficients.
    both_say = PRESERVED_SHARE * preserved - (1 - PRESERVED_SHARE) * removed
    contrast = _without(nuisance, both_say.unsqueeze(1)).squeeze(1)
    masks_left = _without(nuisance, masks)
    smooth = _smoothed(masks_left, own, kernels)
    gram = smooth @ masks_left.T
    noise = NOISE_VARIANCE * gram.diagonal().mean().clamp_min(1e-12)
    identity = torch.eye(len(gram), dtype=gram.dtype)
    coefficients = smooth.T @ torch.linalg.solve(gram + noise * identity, contrast)

    both = torch.cat([masks, everything.double() - masks])
    left = torch.cat([preserved, removed]) - both @ coefficients
    line = torch.stack([both[:, 0] ** 0, both.mean(1)], dim=1)
    intercept, slope = _least_squares(line, left.unsqueeze(1)).squeeze(1)
    return intercept, coefficients + slope / len(coefficients)


def _contrast(inputs: Tensor, reference: Tensor, weights: Tensor) -> Tensor:
    """Return how far what each weight mixes in is from the reference, in units of the image's."""
    if inputs.ndim == 2:
        return torch.ones_like(weights)  # features have units of their own
    shared = [axis for axis in range(1, inputs.ndim) if weights.shape[axis] < inputs.shape[axis]]
    # Of large numbers the difference and its square would overflow.
    difference = inputs / 2 - reference / 2
    largest = difference.flatten(1).abs().amax(1).clamp_min(torch.finfo(difference.dtype).tiny)
    squares = (difference / per_image(largest, difference)).square()
    squares = squares.mean(shared, keepdim=True) if shared else squares
    average = squares.flatten(1).mean(1).clamp_min(torch.finfo(squares.dtype).tiny)
    return (squares / per_image(average, squares) + FAINT**2).sqrt()


def _cells(images: Images, weights: tuple[Tensor, ...], reference: int) -> Tensor:
    """Return the features of all inputs side by side, of shape (N, cells)."""
    return torch.cat([f.flatten(1) for f in features(images, weights, reference)], dim=1)


def _untrained(images: Images) -> Factors:
    return images.channels.factors(images.channels.initial_logits(images.inputs))


def _ones(weights: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.ones_like(w) for w in weights)


def _smoothed(masks: Tensor, like: list[Tensor], kernels: list[list[Tensor]]) -> Tensor:
    """Apply the prior's covariance to (n, cells) masks."""
    parts = masks.split([f[0].numel() for f in like], dim=1)
    smooth = [
        spread(part.reshape(f.shape), own)
        for part, f, own in zip(parts, like, kernels, strict=True)
    ]
    return torch.cat([s.flatten(1) for s in smooth], dim=1)


def _kernels(cells: Tensor) -> list[Tensor]:
    """Return the prior's covariance along each spatial axis of (N, n, C, *cells) features."""
    spatial = cells.shape[3:]
    side = min((size for size in spatial if size > 1), default=1)
    width = max(PRIOR_WIDTH * side, 0.5)
    places = [torch.arange(size, dtype=torch.float64) for size in spatial]
    return [torch.exp(-((p[:, None] - p) ** 2) / (2 * width**2)) for p in places]


def _without(nuisance: Tensor, values: Tensor) -> Tensor:
    return values - nuisance @ _least_squares(nuisance, values)


def _least_squares(design: Tensor, values: Tensor) -> Tensor:
    # The pseudo-inverse also takes designs whose columns are alike (masks of equal coverage).
    solution: Tensor = torch.linalg.pinv(design, rtol=1e-9) @ values
    return solution


def _pooled(weights: Tensor) -> Tensor:
    spatial = weights.shape[2:]
    if len(spatial) not in _POOL:
        raise ValueError(
            f"inputs: expected 1 to 3 spatial axes for ForwardOnly, got {len(spatial)} in a tensor "
            f"with {weights.ndim} axes"
        )
    most = math.floor(MOST_CELLS ** (1 / len(spatial)) + 1e-9)
    return _POOL[len(spatial)](weights, [min(size, most) for size in spatial])


def _group_means(channels: GroupedChannels, weights: tuple[Tensor, ...]) -> Tensor:
    n_images = len(weights[0])
    masks = [m.expand(n_images, *m.shape[1:]).flatten(1) for m in channels.feature_mask]
    groups, values = torch.cat(masks, 1), torch.cat([w.flatten(1) for w in weights], 1)
    empty = values.new_zeros(n_images, channels.n_groups)
    counts = empty.scatter_add(1, groups, torch.ones_like(values))
    return empty.scatter_add(1, groups, values) / counts.clamp_min(1)


def _two_classes(log_odds: Tensor) -> Scores:
    return Scores(log_odds, log_odds.unsqueeze(1))


def _standardised(values: Tensor) -> Tensor:
    flat = values.flatten(1)
    if flat.shape[1] == 1:
        return values
    spread_of = flat.std(dim=1).clamp_min(torch.finfo(flat.dtype).tiny)
    centred = flat - flat.mean(dim=1, keepdim=True)
    return (centred / spread_of.unsqueeze(1)).reshape(values.shape)
