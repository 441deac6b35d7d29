"""Moving averages that are right from their first step on."""

import math

import torch
from torch import Tensor


def shares(fading: float, n_steps: int, like: Tensor) -> Tensor:
    r"""Return the share of each step in a moving average of those until then.

    The average of :math:`t` steps weighs them by :math:`1, q, q^2, \ldots` from the last to the
    first. With `average.lerp_(value, share)` at every step, whatever it began with is forgotten at
    the first one, where

    .. math:: s_t = \frac{1}{1 + q + \ldots + q^{t - 1}} = \frac{1 - q}{1 - q^t}

    is 1. Adam's averages of gradients are such ones (Kingma and Ba 2015, with the correction of
    their bias).

    Args:
        fading (float): What a step counts a step later, above 0 and below 1.
        n_steps (int): How many.
        like (Tensor): Of the dtype and on the device of the average.

    Returns:
        Tensor: Of shape (n_steps,).
    """
    rate = math.log(fading)
    # Made on the device: a copy from the host would have it waited for.
    steps = torch.arange(1, n_steps + 1, dtype=like.dtype, device=like.device)
    found: Tensor = math.expm1(rate) / (rate * steps).expm1_()
    return found.clamp_max_(1)
