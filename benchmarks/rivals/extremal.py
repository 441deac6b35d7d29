r"""Extremal perturbations, the smallest faithful form (Fong, Patrick, Vedaldi, ICCV 2019).

arXiv 1910.08485. For an area a, the mask that excites the network most,

.. math:: m_a = argmax_m \Phi(m \otimes x) - \lambda \, R_a(m), \qquad
          R_a(m) = \| vecsort(m) - r_a \|^2

where r_a holds (1 - a) zeros, then a ones (as shares of the pixels); the norm is averaged over
pixels. The mask is a smooth max-convolution of a coarse one, the perturbation a blur whose width
falls from its largest to none as m goes from 0 to 1. The map is the sum of the masks of several
areas, as in the authors' pointing game.

From their published settings, for 224 pixels: coarse step 7, kernel width 21, blur up to 20 in 8
levels, temperature 1/20, lambda 300 growing by 1.0035 a step, SGD with rate 0.01, momentum and
dampening 0.9, 800 steps, areas 2.5, 5, 10 and 20 %. Pixel sizes are scaled with the image. Phi is
the class's logit. The kernel's profile, flat to half its width and Gaussian beyond,
exp(-2 max(0, z - 1/2)^2), and its cut-off one coarse cell beyond its width, follow the authors'
implementation as we know it; no code is theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from captum_pcim.core.references import Blur

AREAS = (0.025, 0.05, 0.1, 0.2)
_LEVELS = 8
_TEMPERATURE = 1 / 20


def extremal_perturbation(
    forward_func: Callable[[Tensor], Tensor],
    inputs: Tensor,
    target: Tensor,
    areas: Sequence[float] = AREAS,
    n_steps: int = 800,
) -> Tensor:
    """Sum the extremal masks of several areas.

    Args:
        forward_func: Returns logits (N, K).
        inputs: Images (N, C, H, W).
        target: Classes (N,).
        areas: Shares of the pixels.
        n_steps: Optimisation steps, each one pass forward and back per area.

    Returns:
        Maps (N, 1, H, W).
    """
    masks = [
        extremal_masks(forward_func, image[None], int(label), areas, n_steps)
        for image, label in zip(inputs, target, strict=True)
    ]
    return torch.stack([mask.sum(0) for mask in masks])


def extremal_masks(
    forward_func: Callable[[Tensor], Tensor],
    image: Tensor,
    target: int,
    areas: Sequence[float],
    n_steps: int,
) -> Tensor:
    """Optimise one mask per area for one image (1, C, H, W); returns masks (A, 1, H, W)."""
    side = min(image.shape[2:])
    step = max(1, round(7 * side / 224))
    smooth = SmoothMask(image.shape[2:], step, sigma=3 * step).to(image)
    pyramid = blur_pyramid(image, 20 * side / 224)
    references = torch.stack([area_reference(a, image[0, 0].numel()) for a in areas]).to(image)
    coarse = torch.ones(len(areas), 1, *smooth.coarse_size).to(image).requires_grad_()
    optimizer = torch.optim.SGD([coarse], lr=0.01, momentum=0.9, dampening=0.9)
    for i in range(n_steps):
        masks = smooth(coarse)
        score = forward_func(perturb(pyramid, masks))[:, target]
        loss = 300 * 1.0035**i * area_penalty(masks, references) - score
        (coarse.grad,) = torch.autograd.grad(loss.sum(), coarse)
        optimizer.step()
        with torch.no_grad():
            coarse.clamp_(0, 1)
    return smooth(coarse).detach()


class SmoothMask:
    """Smooth max-convolution: m(u) = smax_v k(|u - v| / sigma) m_coarse(v).

    smax is the mean of the values weighted by their softmax at a temperature of 1/20.

    Args:
        size: Height and width of the smooth masks.
        step: Pixels between the nodes of the coarse mask.
        sigma: Width of the kernel in pixels.
    """

    def __init__(self, size: Sequence[int], step: int, sigma: float) -> None:
        self.size, self.step = tuple(size), step
        self.coarse_size = tuple(math.ceil(pixels / step) for pixels in size)
        self.radius = 1 + math.ceil(sigma / step)
        # Distances from each pixel of a coarse cell to the centres of the cells around it.
        inside = (torch.arange(step) + 0.5) / step - 0.5
        around = torch.arange(-self.radius, self.radius + 1)
        offsets = step * (inside[:, None] - around)  # (step, 2 radius + 1)
        squared = offsets[:, None, :, None] ** 2 + offsets[None, :, None, :] ** 2
        distances = squared.sqrt().flatten(2).flatten(0, 1)  # (step^2, window^2)
        self.weights = kernel(distances / sigma)

    def to(self, like: Tensor) -> SmoothMask:
        self.weights = self.weights.to(like)
        return self

    def __call__(self, coarse: Tensor) -> Tensor:
        """Masks (A, 1, H, W) of coarse ones (A, 1, h, w)."""
        windows = F.unfold(coarse, 2 * self.radius + 1, padding=self.radius)  # (A, window^2, hw)
        values = self.weights[None, :, :, None] * windows[:, None]
        smooth = (values * (values / _TEMPERATURE).softmax(2)).sum(2)  # (A, step^2, hw)
        masks = F.fold(smooth, self._full_size, self.step, stride=self.step)
        return masks[..., : self.size[0], : self.size[1]]

    @property
    def _full_size(self) -> tuple[int, ...]:
        return tuple(cells * self.step for cells in self.coarse_size)


def kernel(z: Tensor) -> Tensor:
    """Flat up to 1/2, Gaussian beyond."""
    return torch.exp(-2 * (z - 0.5).clamp(min=0) ** 2)


def blur_pyramid(image: Tensor, largest: float) -> Tensor:
    """Blur an image (1, C, H, W) from the largest sigma down to none: (levels, C, H, W)."""
    sigmas = [largest * (1 - level / (_LEVELS - 1)) for level in range(_LEVELS)]
    return torch.cat([Blur(sigma)(image)[0] for sigma in sigmas])


def perturb(pyramid: Tensor, masks: Tensor) -> Tensor:
    """Take from each pixel the level of the pyramid that its mask says, interpolating linearly.

    Args:
        pyramid: (L, C, H, W), from the widest blur to none.
        masks: (A, 1, H, W) in [0, 1].

    Returns:
        Images (A, C, H, W).
    """
    levels = torch.arange(len(pyramid)).to(pyramid)
    position = masks * (len(pyramid) - 1)
    shares = (1 - (position - levels.view(1, -1, 1, 1)).abs()).clamp(min=0)  # (A, L, H, W)
    return torch.einsum("alhw,lchw->achw", shares, pyramid)


def area_reference(area: float, n_pixels: int) -> Tensor:
    """r_a: zeros, then a share `area` of ones."""
    reference = torch.zeros(n_pixels)
    reference[n_pixels - round(area * n_pixels) :] = 1
    return reference


def area_penalty(masks: Tensor, references: Tensor) -> Tensor:
    """R_a of masks (A, 1, H, W) against references (A, H * W), averaged over pixels: (A,)."""
    return (masks.flatten(1).sort(1).values - references).square().mean(1)
