"""Whether a classifier has gradients, asked once before methods that need them are chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def has_gradient(network: Callable[..., Any], inputs: Tensor) -> bool:
    """Whether autograd follows the scores back to the images, for one of them at least.

    Args:
        network: Images (N, C, H, W) to scores (N, K).
        inputs: Images.
    """
    images = inputs.detach().clone().requires_grad_()
    try:
        with torch.enable_grad():
            scores = network(images)
            # Squares, as probabilities sum to 1 whatever the image.
            (gradient,) = torch.autograd.grad(scores.square().sum(), images, allow_unused=True)
    except RuntimeError:
        return False
    return gradient is not None and bool((gradient.nan_to_num() != 0).any())
