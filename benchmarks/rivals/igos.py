r"""iGOS++, written anew from its paper (Khorram, Lawson, Li, CHIL 2021, arXiv 2012.15783).

Two coarse masks, one that deletes (:math:`M_x`) and one that inserts (:math:`M_y`), start at 1
(everything stays) and go down where the evidence is,

.. math:: \min f_c(\Phi(M_x)) - f_c(\Phi(1 - M_y)) + f_c(\Phi(M_x M_y)) - f_c(\Phi(1 - M_x M_y))
          + \lambda_1 \|1 - M_x M_y\|_1 + \lambda_2 BTV(M_x M_y),

with :math:`\Phi(M) = M x + (1 - M) \tilde x`, the blurred image :math:`\tilde x`, the probability f
of the class, and the bilateral total variation, which costs nothing along edges of the image. The
gradients of the four terms are integrated: averaged over masks scaled by 1/S to 1. The map is
:math:`1 - M_x M_y`.

Published are masks of 28 x 28 on 224 pixels, weights 1 and 20 and width .01 of the bilateral term,
and 15 iterations of 20 integration steps: 1200 passes. Here it gets as many passes as PCIM, 5 x 5 x
4 = 100 each way, masks of an eighth of the side as published, and a step size that is scanned on
tuning images, as the published one is for ImageNet. Norms are means over the mask, so that weights
do not depend on its size.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from captum_pcim.core.blending import blend
from captum_pcim.core.references import Blur

STEP_SIZES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
N_ITERATIONS = 5
N_INTEGRATION = 5
_AREA, _VARIATION, _WIDTH = 1.0, 20.0, 0.01


def igos(
    forward_func: Callable[[Tensor], Tensor], inputs: Tensor, target: Tensor, step_size: float
) -> Tensor:
    """Optimise the two masks of each image.

    Args:
        forward_func: Returns logits (N, K).
        inputs: Images (N, C, H, W).
        target: Classes (N,).
        step_size: Of the gradient descent.

    Returns:
        Maps (N, 1, H, W) in [0, 1].
    """
    blurred = Blur()(inputs)[0]
    coarse = [max(2, side // 8) for side in inputs.shape[2:]]
    guide = F.adaptive_avg_pool2d(inputs, coarse)
    deleting = torch.ones(len(inputs), 1, *coarse).to(inputs)
    inserting = deleting.clone()

    def probability(mask: Tensor) -> Tensor:
        """Summed over the images and averaged over the path; one pass each."""
        scales = torch.arange(1, N_INTEGRATION + 1).to(inputs) / N_INTEGRATION
        full = F.interpolate(mask, inputs.shape[2:], mode="bilinear", align_corners=False)
        blends = torch.cat([blend(inputs, blurred, scale * full) for scale in scales])
        classes = target.repeat(N_INTEGRATION)[:, None]
        return forward_func(blends).softmax(1).gather(1, classes).sum() / N_INTEGRATION

    with torch.enable_grad():
        for _ in range(N_ITERATIONS):
            x, y = deleting.requires_grad_(), inserting.requires_grad_()
            both = x * y
            loss = probability(x) - probability(1 - y) + probability(both) - probability(1 - both)
            price = _AREA * (1 - both).mean((1, 2, 3)) + _VARIATION * _bilateral(both, guide)
            gradients = torch.autograd.grad(loss + price.sum(), (x, y))
            deleting, inserting = (
                (mask - step_size * gradient).clamp(0, 1).detach()
                for mask, gradient in zip((x, y), gradients, strict=True)
            )
    mask = 1 - deleting * inserting
    return F.interpolate(mask, inputs.shape[2:], mode="bilinear", align_corners=False)


def _bilateral(mask: Tensor, guide: Tensor) -> Tensor:
    """Squared differences of neighbours, each weighted down by the image's own step there: (N,)."""
    total = mask.new_zeros(len(mask))
    for axis in (2, 3):
        steps = guide.diff(dim=axis).square().mean(1, keepdim=True)
        total = total + (torch.exp(-steps / _WIDTH**2) * mask.diff(dim=axis) ** 2).mean((1, 2, 3))
    return total
