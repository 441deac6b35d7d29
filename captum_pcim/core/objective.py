r"""The objective: what the blending weights are trained for.

For image :math:`i` with target :math:`c`, blend :math:`B(\alpha)` and complement
:math:`B(1 - \alpha)`, the default objective is

.. math:: -\log p_c(B(\alpha)) - \log(1 - p_c(B(1 - \alpha)))
          + \lambda \log(mean(\alpha) + \epsilon).

It is a sum of terms, each a small class here, each called with one :class:`Blended` and
returning one loss per image. Losses are summed over images, never averaged, so that each image's
gradient is the one it would have alone. The paper's abstract says that the mix is trained to
reflect a specific classification; that this is preservation plus removal plus area is our
reading.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from captum_pcim.core.scores import Scores


@dataclass(frozen=True)
class Blended:
    """What a term can look at, for a batch of N images at one step.

    Args:
        weights (tuple of Tensor): The blending weights of each input tensor.
        preserved (Scores): The network's scores of the blends.
        removed (Scores): Its scores of the complements.
        full (Scores): Its scores of the full images.
        progress (float or Tensor): Share of the steps already done, in [0, 1]; a tensor of one
            number where steps are replayed as CUDA graphs.
        n_steps (int): How many steps are made at most.
    """

    weights: tuple[Tensor, ...]
    preserved: Scores
    removed: Scores
    full: Scores
    progress: float | Tensor
    n_steps: int


class Term(Protocol):
    """One term of the objective."""

    def __call__(self, blended: Blended) -> Tensor:
        """Return one loss per image, of shape (N,)."""
        ...


@dataclass(frozen=True)
class Preservation:
    """The blend shows the target: `-log p_c(B(alpha))`.

    Args:
        weight (float): Factor of this term.
    """

    weight: float = 1.0

    def __call__(self, blended: Blended) -> Tensor:
        """Return `weight * softplus(-log_odds)` of the blend."""
        return _times(self.weight, F.softplus(-blended.preserved.log_odds))


@dataclass(frozen=True)
class DistributionPreservation:
    """The blend is judged as the full image is: `KL(p(x) || p(B(alpha)))` over all classes.

    Preserving one class can leak it, that is make it more likely in the blend than in the image
    (Jethani et al. 2023, arXiv 2302.12893); matching the whole distribution cannot.

    Args:
        weight (float): Factor of this term.

    Examples:
        >>> pcim = PCIM(model, objective=(DistributionPreservation(), Removal(), LogArea()))
    """

    weight: float = 1.0

    def __call__(self, blended: Blended) -> Tensor:
        """Return the weighted Kullback-Leibler divergence in nats."""
        full, kept = blended.full.log_probabilities, blended.preserved.log_probabilities
        return self.weight * (full.exp() * (full - kept)).sum(1)


@dataclass(frozen=True)
class Removal:
    """The complement no longer shows the target: `-log(1 - p_c(B(1 - alpha)))`.

    Args:
        weight (float): Factor of this term.
    """

    weight: float = 1.0

    def __call__(self, blended: Blended) -> Tensor:
        """Return `weight * softplus(log_odds)` of the complement."""
        return _times(self.weight, F.softplus(blended.removed.log_odds))


@dataclass(frozen=True)
class Area:
    """The blend takes few pixels: the mean weight, at a price that rises from start to end.

    The same price for every pixel, whatever share of the image is evidence: see :class:`LogArea`,
    the default.

    Args:
        start (float): Price at the first step.
        end (float): Price at the last step. The price rises geometrically, or linearly from a
            start of 0.

    Examples:
        >>> pcim = PCIM(model, objective=(Preservation(), Removal(), Area(2, 20)))
    """

    start: float = 10.0
    end: float = 150.0

    def __post_init__(self) -> None:
        """Check the prices where they are given, not where they are used."""
        for name, price in (("start", self.start), ("end", self.end)):
            if not 0 <= price < math.inf:
                raise ValueError(f"objective: Area expected {name} >= 0, got {price}")

    def price(self, progress: float | Tensor) -> float | Tensor:
        """Return the price at a share of the steps."""
        if self.start == 0:
            return self.end * progress
        price: float | Tensor = self.start * (self.end / self.start) ** progress
        return price

    def __call__(self, blended: Blended) -> Tensor:
        """Return the price times the mean weight over all pixels of all inputs."""
        return self.price(blended.progress) * mean_weight(blended.weights)


@dataclass(frozen=True)
class LogArea:
    """The blend takes a small share of the pixels, at a price per factor, not per pixel.

    To halve the area is worth `price * ln 2` nats of the other terms, whether from 50 % of the
    image to 25 % or from 5 % to 2.5 %: evidence that covers much of an image is not priced out of
    the map, and what covers little is not for free. So one price serves all images. Where there are
    few steps to give area up in, the price is higher in proportion.

    Args:
        price (float): What a factor of e of the area is worth, in nats.
        floor (float): Share of the image below which smaller is hardly better.
        steps (int): From how many steps on that is the price; in half of them it is twice as high.

    Examples:
        >>> # A lower price keeps more of the image
        >>> pcim = PCIM(model, objective=(Preservation(), Removal(), LogArea(1)))
    """

    price: float = 3.0
    floor: float = 0.02
    steps: int = 46

    def __post_init__(self) -> None:
        """Check the price where it is given, not where it is used."""
        if not 0 <= self.price < math.inf:
            raise ValueError(f"objective: LogArea expected price >= 0, got {self.price}")
        if not 0 < self.floor < math.inf:
            raise ValueError(f"objective: LogArea expected floor > 0, got {self.floor}")
        if not 0 < self.steps < math.inf:
            raise ValueError(f"objective: LogArea expected steps > 0, got {self.steps}")

    def price_in(self, n_steps: int) -> float:
        """Return the price where so many steps are made."""
        return self.price * max(1.0, self.steps / n_steps)

    def __call__(self, blended: Blended) -> Tensor:
        """Return `price * log(mean weight + floor)` over all pixels of all inputs."""
        price = self.price_in(blended.n_steps)
        return price * (mean_weight(blended.weights) + self.floor).log()


@dataclass(frozen=True)
class Smoothness:
    """Neighbouring weights are alike: mean absolute difference along the spatial axes.

    Total variation of the weights (Fong and Vedaldi 2017, arXiv 1704.03296, with exponent 1).

    Args:
        weight (float): Factor of this term.

    Examples:
        >>> pcim = PCIM(model, objective=(*default_objective(), Smoothness()))
    """

    weight: float = 1.0

    def __call__(self, blended: Blended) -> Tensor:
        """Return the weighted total variation per image."""
        spatial = [w for w in blended.weights if w.ndim > 2]
        differences = [
            w.diff(dim=axis).abs().flatten(1).mean(1)
            for w in spatial
            for axis in range(2, w.ndim)
            if w.shape[axis] > 1
        ]
        total = sum(differences, blended.weights[0].new_zeros(len(blended.weights[0])))
        return self.weight * total


def default_objective() -> tuple[Term, ...]:
    """Return preservation, removal and the area of the measured default price."""
    return Preservation(), Removal(), LogArea()


def total_loss(terms: Sequence[Term], blended: Blended) -> Tensor:
    """Return the objective of each image, of shape (N,)."""
    losses = [_checked(term(blended), term, blended) for term in terms]
    return sum(losses[1:], losses[0])


def _checked(loss: Tensor, term: Term, blended: Blended) -> Tensor:
    expected = blended.full.log_odds.shape
    if not isinstance(loss, Tensor) or loss.shape != expected:
        came = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise ValueError(
            f"objective: expected one loss per image, of shape {tuple(expected)}, from {term!r}, "
            f"got {came}"
        )
    return loss


def _times(weight: float, loss: Tensor) -> Tensor:
    """Weigh a loss, at no cost where the weight is 1."""
    return loss if weight == 1 else weight * loss


def mean_weight(weights: tuple[Tensor, ...]) -> Tensor:
    """Return the mean blending weight of each image over all its inputs, of shape (N,)."""
    flat = [w.flatten(1) for w in weights]
    return (flat[0] if len(flat) == 1 else torch.cat(flat, dim=1)).mean(1)
