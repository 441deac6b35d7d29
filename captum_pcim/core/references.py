"""References: the images that stand where nothing is mixed in.

A reference is a callable that takes one input tensor (N, C, *spatial) and returns reference
images of shape (R, N, C, *spatial), or (R, 1, C, *spatial) where all images share them. The
optimisation goes through the R images of all references in turn, so that no single one can be
gamed. An explicit `baselines=` replaces them and keeps Captum's meaning.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from captum_pcim.core.blur import gaussian_blur
from captum_pcim.core.intensity import quantile
from captum_pcim.core.smoothing import shorter_side


class Reference(Protocol):
    """Makes reference images for a batch of inputs."""

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return reference images of shape (R, N or 1, C, *spatial)."""
        ...


@dataclass(frozen=True)
class Constant:
    """The same value everywhere.

    Args:
        value (float or sequence of float): One value, or one per stain, in the units of the
            inputs.

    Examples:
        >>> pcim = PCIM(model, references=[Constant((0.1, 0.1, 0.3))])  # of three stains
    """

    value: float | Sequence[float] = 0.0

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return one constant image, shape (1, 1, C, *spatial)."""
        value = torch.as_tensor(self.value, dtype=inputs.dtype, device=inputs.device)
        if value.ndim and value.shape != inputs.shape[1:2]:
            raise ValueError(
                f"references: Constant expected one value or one per stain "
                f"({inputs.shape[1]}), got {tuple(value.shape)}"
            )
        value = value.reshape(-1, *[1] * (inputs.ndim - 2))
        return value.expand(1, 1, *inputs.shape[1:])


@dataclass(frozen=True)
class Blur:
    """The image itself, blurred until cells lose their detail.

    Args:
        sigma (float or None): Standard deviation in pixels; None takes 1/12 of the shorter side
            of the image, of a plane of a stack (8 pixels at 96).

    Examples:
        >>> pcim = PCIM(model, references=[Background(), Blur(sigma=4)])
    """

    sigma: float | None = None

    def __post_init__(self) -> None:
        """Check the width where it is given, not where it is used."""
        if self.sigma is not None and not 0 <= self.sigma < math.inf:
            raise ValueError(f"sigma: expected pixels >= 0 or None, got {self.sigma}")

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return one blurred image per image, shape (1, N, C, *spatial)."""
        sigma = shorter_side(inputs.shape[2:]) / 12 if self.sigma is None else self.sigma
        return gaussian_blur(inputs, sigma).unsqueeze(0)


@dataclass(frozen=True)
class Background:
    """One background value per image and stain, read robustly from the image's own histogram.

    Fluorescence is dark background with a bright tail, so its background is a low quantile; a
    bright-field image is background with structure on both sides, so its background is the
    median. With `quantile=None` each image and stain decides for itself: the 10 % quantile where
    the upper tail (95 % quantile minus median) is more than twice the lower one (median minus
    5 % quantile), the median otherwise. The rule is ours, not the paper's.

    Args:
        quantile (float or None): The quantile to take, in [0, 1]; None decides as above.

    Examples:
        >>> background = Background()(inputs)[0]  # (N, C, *spatial), as `baselines` of metrics
    """

    quantile: float | None = None

    def __post_init__(self) -> None:
        """Check the quantile where it is given, not where it is used."""
        if self.quantile is not None and not 0 <= self.quantile <= 1:
            raise ValueError(f"quantile: expected a share in [0, 1] or None, got {self.quantile}")

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return one flat image per image, shape (1, N, C, *spatial)."""
        pixels = inputs.flatten(2)
        if self.quantile is not None:
            value = quantile(pixels, self.quantile)
        else:
            median = quantile(pixels, 0.5)
            upper, lower = quantile(pixels, 0.95) - median, median - quantile(pixels, 0.05)
            value = torch.where(upper > 2 * lower, quantile(pixels, 0.1), median)
        value = value.reshape(*inputs.shape[:2], *[1] * (inputs.ndim - 2))
        return value.expand_as(inputs).unsqueeze(0)


@dataclass(frozen=True, eq=False)
class ControlImages:
    """Images to blend against, for example the negative controls of the same plate.

    Args:
        images (Tensor): Control images of shape (R, C, *spatial), in the units of the inputs.
            Every one of them is a reference for every image.

    Examples:
        >>> pcim = PCIM(model, references=[ControlImages(inputs[labels == 0])])
    """

    images: Tensor

    def __post_init__(self) -> None:
        """Check the images where they are given, as far as that tells."""
        if not isinstance(self.images, Tensor):
            raise TypeError(
                f"references: ControlImages expected a tensor, got {type(self.images).__name__}"
            )
        if self.images.numel() == 0:
            raise ValueError("references: expected at least one image in ControlImages, got none")

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the control images, shape (R, 1, C, *spatial)."""
        if self.images.ndim != inputs.ndim or self.images.shape[1:] != inputs.shape[1:]:
            raise ValueError(
                f"references: ControlImages expected images of shape {tuple(inputs.shape[1:])}, "
                f"got {tuple(self.images.shape[1:])}"
            )
        return self.images.to(inputs).unsqueeze(1)


def default_references(forward_func: Any = None) -> tuple[Reference, ...]:
    """Return what stands where nothing is mixed in, if nothing else was said.

    Args:
        forward_func (Callable, optional): May have references of its own, in a method
            ``default_references()``; :mod:`captum_pcim.classifiers.embeddings` has such ones.
    """
    own = getattr(forward_func, "default_references", None)
    return tuple(own()) if callable(own) else (Background(), Blur())


def reference_images(references: Sequence[Reference], inputs: Tensor) -> list[Tensor]:
    """Return all reference images of one input tensor, each (N or 1, C, *spatial).

    Inputs without spatial axes, of shape (N, F), have no background to read and no neighbours to
    blur. Where nothing else is among the references, theirs is zero, Captum's default baseline.

    Raises:
        ValueError: If a reference is not finite.
    """
    if inputs.ndim < 3:
        spatial = (Background, Blur)
        flat = [r for r in references if not isinstance(r, spatial)]
        references = flat or [Constant(0.0)]
    # Clones, because a reference may work in place on what it is given.
    return [image for own in references for image in _checked(own(inputs.clone()), own, inputs)]


def _checked(images: Tensor, reference: Reference, inputs: Tensor) -> Tensor:
    fits = isinstance(images, Tensor) and images.ndim == inputs.ndim + 1
    fits = fits and images.shape[1] in (1, len(inputs)) and images.shape[2:] == inputs.shape[1:]
    fits = fits and len(images) > 0
    if not fits:
        came = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(
            f"references: expected images of shape (R, {len(inputs)} or 1, "
            f"{', '.join(map(str, inputs.shape[1:]))}) from {reference!r}, got {came}"
        )
    if images.is_complex():
        raise ValueError(f"references: expected real values, got {images.dtype}")
    if not bool(torch.isfinite(images).all()):
        raise ValueError("references: expected finite values, got NaN or infinity")
    return images
