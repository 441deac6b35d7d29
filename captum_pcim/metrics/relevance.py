"""What every measure reads from a map: one relevance a pixel, an order of pixels, a mask."""

from typing import Any

import torch
from torch import Tensor

from captum_pcim.core.checks import kind_of


def pixel_relevance(attributions: Tensor) -> Tensor:
    """Sum attributions over the stains.

    Args:
        attributions: Attributions of shape (N, C, H, W).

    Returns:
        Relevance of shape (N, H, W), in single precision or, if the attributions are, in double.

    Raises:
        TypeError: if they are no tensor.
        ValueError: if the shape is not (N, C, H, W) or a value is not finite.

    Examples:
        >>> pixel_relevance(torch.ones(1, 3, 2, 2))
        tensor([[[3., 3.],
                 [3., 3.]]])
    """
    require_tensor("attributions", attributions)
    if attributions.dim() != 4:
        raise ValueError(
            f"attributions: expected shape (N, C, H, W), got {tuple(attributions.shape)}"
        )
    relevance = at_least_single(attributions.detach()).sum(dim=1)
    if not bool(torch.isfinite(relevance).all()):
        raise ValueError("attributions: expected finite values, got NaN or infinity")
    return relevance


def positive_relevance(attributions: Tensor) -> Tensor:
    """Sum attributions over the stains and keep what speaks for the target (the positive part).

    This is the pooling "sum, pos" of Arras et al. (2022). Evidence against the target does not
    count as evidence; take the absolute value beforehand if it should.

    Args:
        attributions: Attributions of shape (N, C, H, W).

    Returns:
        Non-negative relevance of shape (N, H, W).
    """
    return pixel_relevance(attributions).clamp(min=0)


def relevance_ranks(relevance: Tensor, seed: int = 0) -> Tensor:
    """Rank pixels from the most (0) to the least relevant.

    Equal relevances are ordered at random. Raster order would favour whatever lies in the upper
    left corner, and a constant map must do no better than chance. The random order depends on
    `seed` and on the number of pixels alone, so it is the same for each image of any batch.

    Args:
        relevance: Relevance of shape (N, ...).
        seed: Seed of the order of ties; the global random state is neither read nor changed.

    Returns:
        Integer ranks 0 ... P - 1 with the shape of `relevance`.
    """
    flat = relevance.flatten(1)
    n_pixels = flat.shape[1]
    generator = torch.Generator().manual_seed(seed)
    shuffle = torch.randperm(n_pixels, generator=generator).to(flat.device)
    order = shuffle[flat[:, shuffle].argsort(dim=1, descending=True, stable=True)]
    positions = torch.arange(n_pixels, device=flat.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, positions).reshape(relevance.shape)


def as_masks(masks: Tensor, relevance: Tensor) -> Tensor:
    """Check masks or label images against the relevance and return them as (N, H, W) bool.

    Args:
        masks: Masks (bool) or label images (integers, 0 is background) of shape (N, 1, H, W) or
            (N, H, W).
        relevance: Relevance of shape (N, H, W) that the masks belong to.

    Returns:
        Masks of shape (N, H, W), on the device of `relevance`.

    Raises:
        TypeError: if `masks` holds floating point numbers.
        ValueError: if the shape does not fit.
    """
    return as_label_image(masks, relevance, name="masks") > 0


def as_label_image(label_image: Tensor, relevance: Tensor, name: str = "label_image") -> Tensor:
    """Check a label image against the relevance and return it as (N, H, W) integers.

    Args:
        label_image: Integers (0 is background) or bool of shape (N, 1, H, W) or (N, H, W).
        relevance: Relevance of shape (N, H, W) that the label image belongs to.
        name: Name of the argument in error messages.

    Returns:
        Labels of shape (N, H, W), int64, on the device of `relevance`.

    Raises:
        TypeError: if `label_image` is no tensor or holds floating point numbers.
        ValueError: if the shape does not fit or a label is negative.
    """
    require_tensor(name, label_image)
    if label_image.is_floating_point() or label_image.is_complex():
        raise TypeError(f"{name}: expected bool or whole numbers, got {label_image.dtype}")
    labels = label_image.squeeze(1) if label_image.dim() == 4 else label_image
    if labels.shape != relevance.shape:
        n, height, width = relevance.shape
        raise ValueError(
            f"{name}: expected shape ({n}, 1, {height}, {width}) or ({n}, {height}, {width}), got "
            f"{tuple(label_image.shape)}"
        )
    labels = labels.to(relevance.device, torch.int64)
    if bool((labels < 0).any()):
        raise ValueError(f"{name}: expected numbers from 0, got {int(labels.min())}")
    return labels


def require_tensor(name: str, values: Any) -> None:
    """Raise unless an argument is a tensor.

    Args:
        name: The argument.
        values: What was given for it.

    Raises:
        TypeError: if it is none.
    """
    if not isinstance(values, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {kind_of(values)}")


def at_least_single(values: Tensor) -> Tensor:
    """Convert to single precision what is held in less: half precision is too coarse for scores."""
    return values if values.dtype in (torch.float32, torch.float64) else values.to(torch.float32)
