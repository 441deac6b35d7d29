r"""The blending layer: mix isolated pixel channels into one image.

With an image :math:`x` of :math:`P` pixels, a reference image :math:`b` and weights
:math:`\alpha \in [0, 1]^P`, isolation makes :math:`P` images, each all reference but one pixel,

.. math:: I_p = b + e_p (x - b),

and mixing adds up what each of them carries,

.. math:: B(\alpha) = b + \sum_p \alpha_p (I_p - b) = b + \alpha (x - b).

The sum on the left needs :math:`P^2` numbers; the product on the right needs :math:`P` and is the
same image. :func:`blend` computes the product and runs everywhere; :func:`blend_literally` is the
definition, kept so that tests can prove the two equal. The paper's abstract gives isolation and
mixing in words; these formulas are our reading of it.
"""

from typing import Any

import torch
from torch import Tensor

LITERAL_PIXEL_LIMIT = 4096


def blend(inputs: Tensor, reference: Tensor, weights: Tensor) -> Tensor:
    """Mix the isolated pixels of the inputs into the reference: `b + alpha * (x - b)`.

    Args:
        inputs (Tensor): Images of shape (N, C, *spatial).
        reference (Tensor): Images that stand where nothing is mixed in, broadcastable to inputs.
        weights (Tensor): Share of each pixel that is mixed in, in [0, 1], broadcastable to
            inputs: (N, 1, *spatial) for one weight per pixel, (N, C, *spatial) for one per pixel
            and stain.

    Returns:
        Tensor: The blended images, shaped like the inputs. With weights 1 the inputs, with
        weights 0 the reference.
    """
    return torch.addcmul(reference, weights, inputs - reference)


def blend_and_complement(inputs: Tensor, reference: Tensor, weights: Tensor) -> Tensor:
    """Return the blends (first N rows) and their complements (last N rows) as one batch.

    The complement is the image with exactly the mixed-in evidence taken away,
    `B(1 - alpha) = x - alpha * (x - b)`.

    Args:
        inputs (Tensor): Images of shape (N, C, *spatial), constants to autograd.
        reference (Tensor): As in :func:`blend`, constants too.
        weights (Tensor): As in :func:`blend`.

    Returns:
        Tensor: Images of shape (2 N, C, *spatial).
    """
    rows: Tensor = _Both.apply(inputs, reference.to(inputs), weights.to(inputs))
    return rows


class _Both(torch.autograd.Function):
    """Both halves of the batch, whose gradients meet before they are multiplied and summed."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, reference: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(inputs, reference)
        ctx.shape = weights.shape
        rows = inputs.new_empty(2 * len(inputs), *inputs.shape[1:])
        kept, removed = rows.chunk(2)
        torch.lerp(reference, inputs, weights, out=kept)
        torch.lerp(inputs, reference, weights, out=removed)
        return rows

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor]:
        inputs, reference = ctx.saved_tensors
        kept, removed = gradient.chunk(2)
        by_pixel = (kept - removed).mul_(inputs - reference)
        return None, None, by_pixel.sum_to_size(ctx.shape)


def isolate(inputs: Tensor, reference: Tensor) -> Tensor:
    """Return every pixel of every image as an image of its own, all reference but that pixel.

    Args:
        inputs (Tensor): Images of shape (N, C, *spatial) with at most 4096 pixels each.
        reference (Tensor): Images broadcastable to inputs.

    Returns:
        Tensor: The isolated pixel channels, of shape (N, P, C, *spatial).

    Raises:
        ValueError: If the images have more than 4096 pixels: P pixels make P images.
    """
    spatial = inputs.shape[2:]
    n_pixels = spatial.numel()
    if n_pixels > LITERAL_PIXEL_LIMIT:
        raise ValueError(
            f"inputs: literal isolation makes one image per pixel and takes at most "
            f"{LITERAL_PIXEL_LIMIT} pixels, got {n_pixels} ({n_pixels**2} numbers per stain); "
            f"use blend(), which gives the same image"
        )
    single_pixels = torch.eye(n_pixels, dtype=inputs.dtype, device=inputs.device)
    single_pixels = single_pixels.reshape(1, n_pixels, 1, *spatial)
    difference = (inputs - reference).unsqueeze(1)
    return reference.expand_as(inputs).unsqueeze(1) + single_pixels * difference


def blend_literally(inputs: Tensor, reference: Tensor, weights: Tensor) -> Tensor:
    """Mix by the definition: isolate every pixel, then sum the weighted channels.

    Args:
        inputs (Tensor): Images of shape (N, C, *spatial) with at most 4096 pixels each.
        reference (Tensor): Images broadcastable to inputs.
        weights (Tensor): Weights of shape (N, 1, *spatial) or (N, C, *spatial).

    Returns:
        Tensor: The blended images, equal to :func:`blend` up to rounding.

    Raises:
        ValueError: If the images have more than 4096 pixels.

    Examples:
        >>> inputs, reference = torch.rand(1, 2, 4, 4), torch.zeros(1, 2, 4, 4)
        >>> weights = torch.rand(1, 1, 4, 4)
        >>> torch.allclose(blend_literally(inputs, reference, weights),
        ...                blend(inputs, reference, weights))
        True
    """
    channels = isolate(inputs, reference)
    n_images, n_pixels = channels.shape[:2]
    per_channel = weights.flatten(2).transpose(1, 2)
    per_channel = per_channel.reshape(n_images, n_pixels, -1, *[1] * (inputs.ndim - 2))
    return reference + (per_channel * (channels - reference.unsqueeze(1))).sum(dim=1)
