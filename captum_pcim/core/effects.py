r"""What each pixel does where all are mixed in alike, which the trained weights cannot tell.

Weights are trained for blends that hold the class, and a network may see it in a blend for reasons
that the image does not have: in pieces of what is evidence against it, left over where the rest was
taken away. Where all pixels are mixed in alike nothing is cut to pieces. There, before anything is
trained, the gradient of the log-odds :math:`\ell` tells which way each pixel moves them,

.. math:: e = \sum_b \nabla_\alpha \left[ \ell(B_b(\alpha)) - \ell(B_b(1 - \alpha)) \right],
          \quad \alpha = .65,

over the first four references :math:`b`, as they were before any was replaced for what it shows,
for one blend and one complement each. With :math:`n` dividing a map by its root mean square (at
least a quarter of a nat over all pixels) and clipping it to :math:`[-1, 1]`, :math:`G_s` a Gaussian
of :math:`s` sigma and :math:`A` the average over neighbours of like brightness, the order of the
pixels gains

.. math:: .15 \, (n(A A e) + n(G_{1.6} e)),

and where the neighbourhood as a whole speaks against the class, values keep a share,

.. math:: 1 + \min(0, n(G_6 e)).

Signed and smoothed, the effect follows the network and not the image: to that of the same network
with other weights it is not alike. The rule is ours, not the paper's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from captum_pcim.core.channels import Factors, flattened, grouped, is_map, per_image
from captum_pcim.core.problem import Images, Problem
from captum_pcim.core.stakes import LEAST

LEVEL = 0.65  # of all pixels in the blend; the complement has the rest
IN_ORDER = 0.15  # what the effects of a neighbourhood count beside the average of the weights
NEAR, FAR = 1.6, 6.0  # Gaussians, in sigma
MOST_REFERENCES = 4  # as each takes passes


@dataclass(frozen=True)
class Effects:
    """What the effects make of the trained factors, each one tensor for every factor.

    Args:
        order (list of Tensor): Added to what ranks the pixels.
        kept (list of Tensor): The share of the values that stays, in [0, 1].
        n_forwards (int): Forward passes that they took, for each image.
    """

    order: list[Tensor]
    kept: list[Tensor]
    n_forwards: int

    @staticmethod
    def of(
        problem: Problem, images: Images, factors: Factors, references: Sequence[int]
    ) -> "Effects":
        """Measure the effects, for two more forward and backward passes per reference.

        Factors that are no maps have neither neighbours nor effects.

        Args:
            problem (Problem): The network and the meaning of its scores.
            images (Images): The images with all their references.
            factors (list of tuple of Tensor): Of the weights, for their shapes.
            references (sequence of int): Which ones count, of which the first four are taken.
        """
        references = references[:MOST_REFERENCES]
        sizes = [len(own) for own in factors]
        like = flattened(factors)
        if not any(map(is_map, like)):
            nothing, all_of_it = map(torch.zeros_like, like), map(torch.ones_like, like)
            return Effects([*nothing], [*all_of_it], n_forwards=0)
        effects = grouped(_measured(problem, images, like, sizes, references), sizes)
        channels = images.channels
        alike = flattened(channels.averaged(channels.averaged(effects)))
        near, far = (flattened(channels.blurred(effects, scale)) for scale in (NEAR, FAR))
        return Effects(
            [
                IN_ORDER * (_sized(bright) + _sized(around))
                for bright, around in zip(alike, near, strict=True)
            ],
            [1 + _sized(effect).clamp_max(0) for effect in far],
            n_forwards=2 * len(references),
        )

    def take(self, rows: Tensor) -> "Effects":
        """Return those of some of the images."""
        order, kept = ([own[rows] for own in parts] for parts in (self.order, self.kept))
        return replace(self, order=order, kept=kept)


@torch.enable_grad()
def _measured(
    problem: Problem,
    images: Images,
    like: list[Tensor],
    sizes: list[int],
    references: Sequence[int],
) -> list[Tensor]:
    """The effect on each factor; zero for those that are no maps."""
    even = [torch.full_like(f, LEVEL if _is_mixed(f) else 1.0).requires_grad_() for f in like]
    totals = [torch.zeros_like(factor) for factor in like]
    images = replace(images, references=images.unreplaced)
    for reference in references:
        weights = images.channels.weights(grouped(even, sizes))
        kept, removed = problem.scores(images, weights, reference).halves()
        difference = (kept.log_odds - removed.log_odds).sum()
        gradients = torch.autograd.grad(difference, even, materialize_grads=True)
        for total, gradient in zip(totals, gradients, strict=True):
            if is_map(total):
                total.add_(gradient.nan_to_num(0.0, 0.0, 0.0))
    return totals


def _is_mixed(factor: Tensor) -> bool:
    """Tell weights of pixels, groups and features from those of stains, which multiply a map."""
    return is_map(factor) or factor.ndim == 2


def _sized(effects: Tensor) -> Tensor:
    """Divide each image's effects by their root mean square, and clip them to [-1, 1].

    Effects that add up to next to nothing are divided by more, and count as little.
    """
    flat = effects.flatten(1)
    size = flat.square().mean(1).sqrt().clamp_min(LEAST / flat.shape[1])
    return (effects / per_image(size, effects)).clamp(-1, 1)
