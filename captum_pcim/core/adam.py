"""Adam on the blending logits, with steps that keep half of the gradient's proportions."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from captum_pcim.core.averages import shares

BETAS = (0.8, 0.9)
EPSILON = 1e-8


class Moments(NamedTuple):
    """The numbers of a step, each a tensor of no axes.

    Args:
        share (Tensor): What its gradient counts in their average.
        correction (Tensor): Of the size of gradients, whose average began at zero.
        epsilon (Tensor): Added to that size.
    """

    share: Tensor
    correction: Tensor
    epsilon: Tensor


def moments(n_steps: int, like: Tensor) -> Moments:
    """Return the numbers of all steps, each a tensor of shape (n_steps,).

    Args:
        n_steps (int): How many.
        like (Tensor): Of the dtype and on the device of the logits.
    """
    share = shares(BETAS[0], n_steps, like)
    correction = (shares(BETAS[1], n_steps, like) / (1 - BETAS[1])).sqrt_()
    # Added before the correction, as in the paper's efficient order of computation.
    return Moments(share, correction, EPSILON * correction)


class Adam:
    """Adam (Kingma and Ba 2015) on logits, in two ways its own.

    Rows can be dropped while it runs. And where Adam divides each logit's step by the size of its
    own gradient, which makes strong and weak evidence move alike, this divides by the geometric
    mean of that and the size over the image: half of the gradient's proportions are kept.

    Args:
        logits (Tensor): Of shape (N, logits), one row per image.
        widths (sequence of int): Of the grids that stand side by side in a row.
        learning_rate (float): Step size in logits.
    """

    def __init__(self, logits: Tensor, widths: Sequence[int], learning_rate: float) -> None:
        self.widths = list(widths)
        self.learning_rate = learning_rate
        self.first = torch.zeros_like(logits)
        self.second = torch.zeros_like(logits)
        self.tiny = logits.new_full((), torch.finfo(logits.dtype).tiny)
        # Column by column, in which order a sum over many rows is a fast product of matrices.
        self.grids = torch.block_diag(*(logits.new_ones(1, width) for width in widths)).T

    def step(self, logits: Tensor, gradient: Tensor, moments: Moments) -> None:
        """Update the logits in place.

        Args:
            logits (Tensor): Of shape (N, logits).
            gradient (Tensor): Of the same shape, finite. Its memory is used up.
            moments (Moments): The step's, from :func:`moments`.
        """
        self.first.lerp_(gradient, moments.share)
        self.second.lerp_(gradient.square_(), 1 - BETAS[1])
        over_image = self._over_image(moments.correction)
        sizes = self.second.sqrt().sqrt_()
        torch.addcmul(moments.epsilon, sizes, over_image, out=sizes)
        logits.addcdiv_(self.first, sizes, value=-self.learning_rate)

    def take(self, rows: Tensor) -> None:
        """Keep the state of some of the images."""
        self.first, self.second = self.first[rows], self.second[rows]

    def _over_image(self, correction: Tensor) -> Tensor:
        """The root of the gradient's size over each image and grid, at each of their logits.

        Zeros, as of groups that are not in the image and of intensities that are not nearby, do not
        count.
        """
        n_moving = torch.addmm(self.tiny, self.second.sign(), self.grids)
        roots = (self.second @ self.grids / n_moving).sqrt_().sqrt_().mul_(correction)
        parts = zip(roots.split(1, 1), self.widths, strict=True)
        return torch.cat([root.expand(-1, width) for root, width in parts], 1)
