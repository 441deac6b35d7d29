"""What is read off the path of the optimisation: the order of the pixels, and their values.

**Order.** A moving average of the weights over the steps, recent ones counting more: a pixel keeps
its weight for as long as it is worth its price, so the average ranks pixels by their worth, where
weights of one step know little but in from out.

**Values.** Those of the last step that held the class, with it in the blend and without it in the
complement: they say how much is needed, where the average has a haze of all that was ever tried.
Where even the largest is low, because each pixel carries little, all are lifted alike in their
odds, see :func:`lifted`.

Order and values are our reading; the paper says that the trained weights are the map.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from captum_pcim.core.channels import is_map, per_image

MEMORY = 0.35  # of the moving average, as a share of the steps
TOP_LOGIT = 3.0  # the largest weight of a map is lifted to this, .95
MOST_LIFT = 4.0  # but by no more than this: what was priced below .02 stays below one half


class Ranking:
    """A moving average of the factors, which orders the pixels."""

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


class Holding:
    """The factors of the last step that held the class, from the time the optimisation settled."""

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

    def values(self) -> list[Tensor]:
        """Return those factors, those of pixels, groups and features lifted."""
        return [f if f.ndim > 2 and not is_map(f) else lifted(f) for f in self.last]

    def take(self, rows: Tensor) -> None:
        """Keep some of the images."""
        self.holds = self.holds[rows]
        self.last = [last[rows] for last in self.last]


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
