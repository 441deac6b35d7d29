r"""What is read off the path of the optimisation: the order of the pixels, and their values.

**Order.** A moving average of the weights over the steps, recent ones counting more: a pixel keeps
its weight for as long as it is worth its price, so the average ranks pixels by their worth, where
weights of one step know little but in from out. To it is added what each pixel does where all are
mixed in alike (:mod:`captum_pcim.core.effects`).

**Values.** Those of the last step that held the class, with it in the blend and without it in the
complement: they say how much is needed, where the average has a haze of all that was ever tried.
Where even the largest is low, because each pixel carries little, all are lifted alike in their
odds, see :func:`lifted`; what is then still below one half is on its way out, see :func:`settled`.
Where the neighbourhood as a whole speaks against the class, a share of them is left.

Order and values are our reading; the paper says that the trained weights are the map.
"""

import math
from collections.abc import Sequence
from functools import reduce
from operator import and_

import torch
from torch import Tensor

from captum_pcim.core.averages import shares
from captum_pcim.core.channels import is_map, per_image
from captum_pcim.core.effects import Effects

MEMORY = 0.35  # of the moving average, as a share of the steps
TOP_LOGIT = 3.0  # the largest weight of a map is lifted to this, .95
MOST_LIFT = 4.0  # but by no more than this: what was priced below .02 stays below one half


class Ranking:
    """What ranks the pixels on the path: a moving average of the factors."""

    def __init__(self, factors: Sequence[Tensor]) -> None:
        self.average = [torch.zeros_like(factor) for factor in factors]

    def add(self, factors: Sequence[Tensor], share: Tensor) -> None:
        """Average the factors of one step in, with its share from :func:`ranking_shares`."""
        for average, factor in zip(self.average, factors, strict=True):
            average.lerp_(factor, share.to(average.dtype))  # of inputs of several dtypes

    def take(self, rows: Tensor) -> None:
        """Keep some of the images."""
        self.average = [average[rows] for average in self.average]


class Holding:
    """The factors of the last step that held the class, from the time the optimisation settled."""

    def __init__(self, factors: Sequence[Tensor], n_references: int) -> None:
        # By reference, at the last step that blended against it.
        self.holds = n_references * [torch.ones_like(factors[0].flatten(1)[:, 0], dtype=torch.bool)]
        self.last = list(factors)

    def add(self, factors: Sequence[Tensor], holds: Tensor, reference: int, *, early: bool) -> None:
        """Take the factors of one step where they come early, or hold with every reference.

        Args:
            factors (sequence of Tensor): Those of the step.
            holds (Tensor): Whether they hold the class, of shape (N,).
            reference (int): Which one they were blended against.
            early (bool): Whether the optimisation has not settled yet.
        """
        self.holds[reference] = holds
        if early:
            self.last = list(factors)
            return
        taken = reduce(and_, self.holds)
        pairs = zip(factors, self.last, strict=True)
        self.last = [torch.where(per_image(taken, now), now, last) for now, last in pairs]

    def values(self) -> list[Tensor]:
        """Return those factors, those of pixels, groups and features lifted and settled."""
        return [f if f.ndim > 2 and not is_map(f) else settled(lifted(f)) for f in self.last]

    def take(self, rows: Tensor) -> None:
        """Keep some of the images."""
        self.holds = [holds[rows] for holds in self.holds]
        self.last = [last[rows] for last in self.last]


def ranking_shares(n_steps: int, like: Tensor) -> Tensor:
    """Return the share of each step in the average that ranks the pixels.

    Args:
        n_steps (int): How many.
        like (Tensor): Of the dtype and on the device of the factors.
    """
    return shares(math.exp(-1 / (MEMORY * n_steps)), n_steps, like)


def read_off(averages: list[Tensor], values: list[Tensor], effects: Effects) -> list[Tensor]:
    """Return the factors of the map.

    Args:
        averages (list of Tensor): Of the factors over the path.
        values (list of Tensor): The factors that held the class.
        effects (Effects): What pixels do where all are mixed in alike.
    """
    parts = zip(averages, values, effects.order, effects.kept, strict=True)
    return [in_order_of(average + order, own) * kept for average, own, order, kept in parts]


def in_order_of(ranking: Tensor, values: Tensor) -> Tensor:
    """Deal each image's values out anew: the largest to the place that ranks first, and so on.

    Args:
        ranking (Tensor): The higher, the larger the value; one row per image.
        values (Tensor): Of the same shape.
    """
    places = ranking.flatten(1).argsort(dim=1, stable=True)
    ordered = values.flatten(1).sort(dim=1).values
    return torch.empty_like(ordered).scatter_(1, places, ordered).view_as(values)


def lifted(weights: Tensor) -> Tensor:
    """Lift the odds of an image's weights alike, until the largest weight is .95.

    The price of the area takes from every pixel's odds, and most where many pixels share the
    evidence. What is lifted keeps its order and the ratios of its odds. Weights that reach .95
    stay, and those of nothing stay nothing: odds are lifted by e^4 at most.

    Args:
        weights (Tensor): In [0, 1], one row per image.
    """
    logits = weights.logit()
    highest = logits.flatten(1).amax(1)
    lift = (TOP_LOGIT - highest).clamp(0, MOST_LIFT)
    lift = per_image(lift, weights)
    return torch.where(lift > 0, (logits + lift).sigmoid(), weights)


def settled(weights: Tensor) -> Tensor:
    r"""Square the odds of weights below one half; those above stay.

    .. math:: \alpha \to \frac{\alpha^2}{\alpha^2 + (1 - \alpha)^2} \quad (\alpha < 1/2).

    All weights begin at one half, so what is below was being given up when the steps ran out. Each
    of these weights is small, but most pixels have one, and together they are much of a map whose
    evidence is small. No weight changes its rank or its side of one half. The rule is ours.

    Args:
        weights (Tensor): In [0, 1].
    """
    kept, left = weights.square(), (1 - weights).square()
    return torch.where(weights < 0.5, kept / (kept + left), weights)
