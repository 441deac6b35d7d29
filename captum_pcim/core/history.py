"""What the steps of the optimiser were like, written down of all images."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Step:
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

    def clone(self) -> "Step":
        """Return a copy, in memory of its own."""
        rest = (own.clone() for own in (self.holds, self.loss, self.reached, self.total))
        return Step([factor.clone() for factor in self.factors], *rest)


class History:
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

    def add(self, step: Step) -> None:
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
