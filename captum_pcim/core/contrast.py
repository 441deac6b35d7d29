"""What the target is told from: all other classes, or those that `contrast` names."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from captum_pcim.core.checks import check_count, from_numpy, kind_of
from captum_pcim.core.scores import ScoreKind

Contrast = tuple[int, ...] | Tensor | None
"""Classes for all images, a class (N,) or a mask of classes (N, K) for each, or all others."""


def asked_contrast(contrast: Any, n_images: int) -> Contrast:
    """Return the classes to tell the target from in their checked form.

    Args:
        contrast (int, sequence of int, Tensor or None): A class or several for all images; a tensor
            of integers (N,), a class for each; a tensor of bool (N, K), any classes for each.
        n_images (int): Number of images.

    Raises:
        TypeError: If it is none of these.
        ValueError: If it is empty, or not one for each image.
        IndexError: If a class is below 0.
    """
    if isinstance(contrast, (np.ndarray, np.generic)):
        contrast = from_numpy("contrast", contrast)
    if isinstance(contrast, Tensor):
        return _check_tensor(contrast, n_images)
    if contrast is None:
        return None
    several = isinstance(contrast, Sequence) and not isinstance(contrast, str)
    classes = list(contrast) if several else [contrast]
    if not classes:
        raise ValueError(f"contrast: expected at least one class, got {contrast!r}")
    for one in classes:
        if isinstance(one, bool) or not isinstance(one, (int, np.integer)):
            raise TypeError(
                f"contrast: expected a class, a list of classes or a tensor, got {kind_of(one)}"
                f"{f' in {contrast!r}' if several else ''}"
            )
        _check_sign(int(one))
    return tuple(dict.fromkeys(int(one) for one in classes))


def _check_tensor(contrast: Tensor, n_images: int) -> Contrast:
    if contrast.dtype == torch.bool:
        if contrast.ndim != 2:
            raise ValueError(
                f"contrast: expected a mask of shape (N, K), got {tuple(contrast.shape)}"
            )
        check_count("contrast", len(contrast), n_images)
        return contrast
    if contrast.is_floating_point() or contrast.is_complex():
        raise TypeError(f"contrast: expected integer classes, got a tensor of {contrast.dtype}")
    contrast = contrast.long()  # torch finds no lowest of unsigned 16 bits
    if contrast.ndim > 1:
        raise ValueError(f"contrast: expected shape (N,), got {tuple(contrast.shape)}")
    if contrast.numel():
        _check_sign(int(contrast.min()))
    if contrast.ndim == 0:
        return (int(contrast),)
    check_count("contrast", len(contrast), n_images)
    return contrast


def _check_sign(lowest: int) -> None:
    if lowest < 0:
        raise IndexError(f"contrast: expected classes from 0, got {lowest}")


def competing(
    contrast: Contrast, rows: Tensor, classes: Tensor, scores: Tensor, kind: ScoreKind
) -> Tensor | None:
    """Return which classes share the probability of an image: its target and what it is told from.

    Args:
        contrast: From :func:`asked_contrast`, for all images of the call.
        rows (Tensor): Which of them these are, of shape (N,).
        classes (Tensor): Their targets, of shape (N,).
        scores (Tensor): Their scores, of shape (N, K).
        kind (str): What scores mean.

    Returns:
        Tensor or None: A mask of shape (N, K); None where all classes do.

    Raises:
        ValueError: If scores do not compete, or a target is told from itself.
        IndexError: If a class is outside the output.
    """
    if contrast is None:
        return None
    n_classes = scores.shape[1]
    if kind not in ("logits", "probabilities") or n_classes == 1:
        raise ValueError(
            "contrast: expected scores of several classes that exclude each other, got "
            f"{n_classes} of kind {kind!r}; of one output or of labels each is told from its own "
            "absence"
        )
    own = torch.nn.functional.one_hot(classes, n_classes).bool()
    told = _mask(
        contrast[rows.to(contrast.device)] if isinstance(contrast, Tensor) else contrast, own
    )
    if bool((told & own).any()):
        number = int(classes[(told & own).any(1)][0])
        raise ValueError(
            f"contrast: expected classes other than the target's, got class {number} for both"
        )
    if not bool(told.any(1).all()):
        raise ValueError("contrast: expected at least one class for every image, got none for some")
    return told | own


def _mask(contrast: tuple[int, ...] | Tensor, own: Tensor) -> Tensor:
    n_images, n_classes = own.shape
    if isinstance(contrast, Tensor) and contrast.dtype == torch.bool:
        if contrast.shape[1] != n_classes:
            raise ValueError(
                f"contrast: expected a mask of shape ({n_images}, {n_classes}), got "
                f"{tuple(contrast.shape)}"
            )
        return contrast.to(own.device)
    given = torch.as_tensor(contrast, device=own.device)
    if int(given.max()) >= n_classes:
        raise IndexError(
            f"contrast: expected classes from 0 to {n_classes - 1}, got {int(given.max())}"
        )
    rows = given.unsqueeze(1) if isinstance(contrast, Tensor) else given.expand(n_images, -1)
    return torch.zeros_like(own).scatter_(1, rows, True)
