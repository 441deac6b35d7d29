"""What one pixel channel is: how the trained parameters become weights shaped like the inputs.

- :class:`SharedOverStains`: one weight per pixel, the same for all stains (default).
- :class:`PerStain`: one weight per pixel and stain.
- :class:`Factorised`: one weight per pixel times one weight per stain, the bridge to DCMIX
  (Siegismund et al., arXiv 2308.16637), which weighs whole stains.
- A `feature_mask` replaces these by one weight per group (superpixels, cells), as everywhere in
  Captum.

All parameters are logits with one row per image, so that rows can be dropped from a running
optimisation. Those of pixels stand on grids (:mod:`captum_pcim.core.grids`). Squashed they become
factors in [0, 1]; their product is the weights.
Tensors of shape (N, C, *spatial) are images (signals, stacks) with stains on axis 1; tensors of
shape (N, F) have one weight per feature.
"""

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from captum_pcim.core.blur import gaussian_blur
from captum_pcim.core.grids import Grids
from captum_pcim.core.smoothing import Smoothing

INITIAL_LOGIT = 0.0
INITIAL_STAIN_LOGIT = 2.0

Logits = list[tuple[Tensor, ...]]
"""The trained parameters of each input."""

Factors = list[tuple[Tensor, ...]]
"""Of each input, factors in [0, 1] whose product is its weights."""


@runtime_checkable
class Isolation(Protocol):
    """How the pixels and stains of one input tensor are taken apart into channels."""

    def initial_logits(self, grids: Grids, inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the parameters before training, for images of shape (N, C, *spatial)."""
        ...

    def factors(self, logits: tuple[Tensor, ...], grids: Grids) -> tuple[Tensor, ...]:
        """Return factors in [0, 1] whose product is broadcastable to the images."""
        ...


@dataclass(frozen=True)
class SharedOverStains:
    """One weight per pixel, the same for all stains."""

    def initial_logits(self, grids: Grids, inputs: Tensor) -> tuple[Tensor, ...]:
        """Return one map of logits per image."""
        return grids.zeros(1)

    def factors(self, logits: tuple[Tensor, ...], grids: Grids) -> tuple[Tensor, ...]:
        """Return weights of shape (N, 1, *spatial)."""
        return (grids.logits(logits).sigmoid(),)


@dataclass(frozen=True)
class PerStain(SharedOverStains):
    """One weight per pixel and stain.

    Examples:
        >>> pcim = PCIM(model, isolation=PerStain())
    """

    def initial_logits(self, grids: Grids, inputs: Tensor) -> tuple[Tensor, ...]:
        """Return one map of logits per image and stain."""
        return grids.zeros(inputs.shape[1])


@dataclass(frozen=True)
class Factorised:
    """One weight per pixel times one weight per stain.

    Examples:
        >>> pcim = PCIM(model, isolation=Factorised())
        >>> maps, diagnostics = pcim.attribute(inputs, target=1, return_diagnostics=True)
        >>> diagnostics.stain_weights[0].shape  # 8 images of 3 stains
        torch.Size([8, 3])
    """

    def initial_logits(self, grids: Grids, inputs: Tensor) -> tuple[Tensor, ...]:
        """Return one map of pixel logits and one row of stain logits per image."""
        shape = (*inputs.shape[:2], *[1] * (inputs.ndim - 2))
        return *grids.zeros(1), inputs.new_full(shape, INITIAL_STAIN_LOGIT)

    def factors(self, logits: tuple[Tensor, ...], grids: Grids) -> tuple[Tensor, ...]:
        """Return weights of the pixels, (N, 1, *spatial), and of the stains, (N, C, 1, ...)."""
        return grids.logits(logits[:-1]).sigmoid(), logits[-1].sigmoid()


class PixelChannels:
    """The pixel channels of all inputs of some images, trained jointly.

    Args:
        inputs (tuple of Tensor): The inputs, in the dtype that weights are trained in.
        isolation (Isolation): What one channel is.
        smoothing (Smoothing): How smooth the logits are.
    """

    def __init__(
        self, inputs: tuple[Tensor, ...], isolation: Isolation, smoothing: Smoothing
    ) -> None:
        self.isolation = isolation
        self.grids = [Grids(x, smoothing) if x.ndim > 2 else None for x in inputs]

    def initial_logits(self, inputs: tuple[Tensor, ...]) -> Logits:
        """Return the parameters of each input before training."""
        return [
            (torch.full_like(x, INITIAL_LOGIT),)
            if grids is None
            else self.isolation.initial_logits(grids, x)
            for x, grids in zip(inputs, self.grids, strict=True)
        ]

    def factors(self, logits: Logits) -> Factors:
        """Return the factors of the weights of each input."""
        return [
            (own[0].sigmoid(),) if grids is None else self.isolation.factors(own, grids)
            for own, grids in zip(logits, self.grids, strict=True)
        ]

    def weights(self, factors: Factors) -> tuple[Tensor, ...]:
        """Return one tensor of weights per input, broadcastable to it."""
        return tuple(math.prod(own[1:], start=own[0]) for own in factors)

    def stain_weights(self, factors: Factors) -> tuple[Tensor, ...] | None:
        """Return the (N, C) stain weights of each input where channels are factorised."""
        if not isinstance(self.isolation, Factorised):
            return None
        return tuple(own[1].flatten(1) for own in factors if len(own) == 2)

    def blurred(self, factors: Factors, scale: float) -> Factors:
        """Return what has one value per pixel after a Gaussian of so many sigma."""
        return [
            own
            if grids is None
            else tuple(gaussian_blur(f, scale * grids.sigma) if is_map(f) else f for f in own)
            for own, grids in zip(factors, self.grids, strict=True)
        ]

    def averaged(self, factors: Factors) -> Factors:
        """Return what has one value per pixel averaged over neighbours of like brightness."""
        return [
            own if grids is None else tuple(grids.averaged(f) if is_map(f) else f for f in own)
            for own, grids in zip(factors, self.grids, strict=True)
        ]

    def take(self, rows: Tensor) -> "PixelChannels":
        """Return the channels of some of the images."""
        taken = copy(self)
        taken.grids = [grids and grids.take(rows) for grids in self.grids]
        return taken


@dataclass(frozen=True)
class GroupedChannels:
    """Channels given by a feature mask: all pixels of a group share one weight.

    As in Captum, a number means the same group wherever it stands, also in another tensor of the
    inputs. Groups are not smoothed.

    Args:
        feature_mask (tuple of Tensor): Integer group numbers from 0, one tensor per input,
            broadcastable to it. A first axis of size 1 serves all images.
        n_groups (int): One more than the highest group number.
    """

    feature_mask: tuple[Tensor, ...]
    n_groups: int

    def initial_logits(self, inputs: tuple[Tensor, ...]) -> Logits:
        """Return one logit per image and group; groups that are not in the image weigh nothing."""
        logits = inputs[0].new_full((len(inputs[0]), self.n_groups), -torch.inf)
        for mask in self._masks(len(inputs[0])):
            logits.scatter_(1, mask.flatten(1), INITIAL_LOGIT)
        return [(logits,)]

    def factors(self, logits: Logits) -> Factors:
        """Return the weights of the groups, of shape (N, groups)."""
        return [(logits[0][0].sigmoid(),)]

    def weights(self, factors: Factors) -> tuple[Tensor, ...]:
        """Return one tensor of weights per input, shaped like its mask."""
        per_group = factors[0][0]
        masks = self._masks(len(per_group))
        return tuple(per_group.gather(1, mask.flatten(1)).view(mask.shape) for mask in masks)

    def stain_weights(self, factors: Factors) -> None:
        """Return None: groups have no stain weights."""
        return

    def blurred(self, factors: Factors, scale: float) -> Factors:
        """Return the factors as they are: groups have no neighbours."""
        return factors

    def averaged(self, factors: Factors) -> Factors:
        """Return the factors as they are: groups have no neighbours."""
        return factors

    def take(self, rows: Tensor) -> "GroupedChannels":
        """Return the channels of some of the images."""
        masks = tuple(mask if len(mask) == 1 else mask[rows] for mask in self.feature_mask)
        return GroupedChannels(masks, self.n_groups)

    def _masks(self, n_images: int) -> list[Tensor]:
        return [mask.expand(n_images, *mask.shape[1:]) for mask in self.feature_mask]


def grouped(parameters: Sequence[Tensor], sizes: Sequence[int]) -> Logits:
    """Hand a flat list of parameters back to the inputs they belong to."""
    remaining = iter(parameters)
    return [tuple(next(remaining) for _ in range(size)) for size in sizes]


def flattened(parameters: Logits) -> list[Tensor]:
    """Return the parameters or factors of all inputs as a flat list; :func:`grouped` undoes it."""
    return [parameter for own in parameters for parameter in own]


def is_map(values: Tensor) -> bool:
    """Tell what has one value per pixel, (N, C, *spatial), from what has one per stain or group."""
    return values.ndim > 2 and values.shape[2:].numel() > 1


def per_image(values: Tensor, like: Tensor) -> Tensor:
    """Return one value per image in a form that broadcasts over the rows of another tensor."""
    return values.view(-1, *[1] * (like.ndim - 1))
