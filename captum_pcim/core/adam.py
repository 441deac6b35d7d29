"""Adam on the blending logits, with steps that keep half of the gradient's proportions."""

from collections.abc import Sequence

import torch
from torch import Tensor

from captum_pcim.core.channels import per_image

BETAS = (0.8, 0.9)
EPSILON = 1e-8


class Adam:
    """Adam (Kingma and Ba 2015) on logits, in two ways its own.

    Rows can be dropped while it runs. And where Adam divides each logit's step by the size of its
    own gradient, which makes strong and weak evidence move alike, this divides by the geometric
    mean of that and the size over the image: half of the gradient's proportions are kept.

    Args:
        parameters (sequence of Tensor): Logits, one row per image.
        learning_rate (float): Step size in logits.
    """

    def __init__(self, parameters: Sequence[Tensor], learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self.first = [torch.zeros_like(p) for p in parameters]
        self.second = [torch.zeros_like(p) for p in parameters]
        self.n_updates = 0

    def step(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """Update the parameters in place. Gradients that are not finite count as zero."""
        self.n_updates += 1
        first_share, second_share = (1 - beta**self.n_updates for beta in BETAS)
        rate = self.learning_rate * second_share**0.5 / first_share
        states = zip(parameters, gradients, self.first, self.second, strict=True)
        for parameter, gradient, first, second in states:
            gradient = gradient.nan_to_num(0.0, 0.0, 0.0)
            first.lerp_(gradient, 1 - BETAS[0])
            second.lerp_(gradient.square(), 1 - BETAS[1])
            scale = sizes(second).add_(EPSILON)
            parameter.addcdiv_(first, scale, value=-rate)

    def take(self, rows: Tensor) -> None:
        """Keep the state of some of the images."""
        self.first = [state[rows] for state in self.first]
        self.second = [state[rows] for state in self.second]


def sizes(second: Tensor) -> Tensor:
    """Return the geometric mean of each gradient's size and the size over its image.

    Args:
        second (Tensor): Mean squares of the gradients, one row per image. Zeros, as groups have
            that are not in the image, do not count.
    """
    axes = tuple(range(1, second.ndim))
    n_moving = per_image(second.count_nonzero(axes).clamp_min(1), second)
    over_image = second.sum(axes, keepdim=True) / n_moving
    return second.sqrt().mul_(over_image.sqrt_()).sqrt_()
