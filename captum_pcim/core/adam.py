"""Adam on the blending logits, with steps that keep half of the gradient's proportions."""

from collections.abc import Sequence

import torch
from torch import Tensor

BETAS = (0.8, 0.9)
EPSILON = 1e-8


class Adam:
    """Adam (Kingma and Ba 2015) on logits, in two ways its own.

    Rows can be dropped while it runs. And where Adam divides each logit's step by the size of its
    own gradient, which makes strong and weak evidence move alike, this divides by the geometric
    mean of that and the size over the image: half of the gradient's proportions are kept.

    Args:
        logits (Tensor): Of shape (N, logits), one row per image.
        widths (sequence of int): Of the grids that stand side by side in a row.
    """

    def __init__(self, logits: Tensor, widths: Sequence[int]) -> None:
        self.widths = list(widths)
        self.first = torch.zeros_like(logits)
        self.second = torch.zeros_like(logits)
        # Made on the device: a copy from the host would have it waited for.
        grids = [torch.full((width,), i, device=logits.device) for i, width in enumerate(widths)]
        self.grid = torch.cat(grids)

    def step(self, logits: Tensor, gradient: Tensor, rate: Tensor) -> None:
        """Update the logits in place. Gradients that are not finite count as zero.

        Args:
            logits (Tensor): Of shape (N, logits).
            gradient (Tensor): Of the same shape.
            rate (Tensor): One number, from :func:`rates`.
        """
        gradient = gradient.nan_to_num(0.0, 0.0, 0.0)
        self.first.lerp_(gradient, 1 - BETAS[0])
        self.second.lerp_(gradient.square_(), 1 - BETAS[1])
        scale = self._sizes().add_(EPSILON)
        logits.addcdiv_(self.first * rate, scale, value=-1)

    def take(self, rows: Tensor) -> None:
        """Keep the state of some of the images."""
        self.first, self.second = self.first[rows], self.second[rows]

    def _sizes(self) -> Tensor:
        """The geometric mean of each gradient's size and the size over its image and grid.

        Zeros, as groups have that are not in the image, do not count.
        """
        grids = self.second.split(self.widths, 1)
        sums = torch.stack([grid.sum(1) for grid in grids], 1)
        n_moving = torch.stack([grid.count_nonzero(1) for grid in grids], 1).clamp_min_(1)
        over_image = (sums / n_moving).sqrt_()
        return self.second.sqrt().mul_(over_image[:, self.grid]).sqrt_()


def rates(learning_rate: float, n_steps: int, like: Tensor) -> list[Tensor]:
    """Return the rate of each step, without the bias of averages that began at zero.

    Args:
        learning_rate (float): Step size in logits.
        n_steps (int): How many.
        like (Tensor): Of the dtype and on the device of the logits.
    """
    corrections = (
        (1 - BETAS[1] ** step) ** 0.5 / (1 - BETAS[0] ** step) for step in range(1, n_steps + 1)
    )
    return [like.new_full((), learning_rate * correction) for correction in corrections]
