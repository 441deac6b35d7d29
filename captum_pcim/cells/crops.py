"""Crops about the objects of a label image, as networks of single cells take them.

The object's centre is the crop's centre, at the border of the image too. What lies beyond the image
is filled with its background, and so are other objects where they are masked: of each stain the
median over the pixels of no object, or its lowest intensity where every pixel belongs to one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from captum_pcim.core.checks import check_positive, kind_of
from captum_pcim.images.labels import Labels
from captum_pcim.images.read import FloatPixels

Slices = tuple[slice, slice]


@dataclass(frozen=True)
class Cropping:
    """How objects are cropped.

    Args:
        size: Side of the square crop, in pixels of the image.
        scale: Side in pixels to which the crop is resized for the network. None: as it is.
        mask_neighbours: Whether other objects within the crop are filled with background.

    Raises:
        ValueError: If a side is not a whole number above 0.
    """

    size: int
    scale: int | None = None
    mask_neighbours: bool = False

    def __post_init__(self) -> None:
        """Checks the sides."""
        check_positive("size", self.size)
        if self.scale is not None:
            check_positive("scale", self.scale)

    @property
    def side(self) -> int:
        """The side in pixels that the network gets."""
        return self.scale or self.size


@dataclass(frozen=True)
class CellPlace:
    """Where an object and its crop lie in a field.

    Args:
        number: The object's number in the label image.
        x: Its centre, the mean of its pixels' columns, counted from 0.
        y: The mean of its pixels' rows.
        area: Its pixels.
        top: First row of the crop, negative where it reaches beyond the image.
        left: First column of the crop.
        size: Side of the crop.
    """

    number: int
    x: float
    y: float
    area: int
    top: int
    left: int
    size: int

    def windows(self, shape: tuple[int, ...]) -> tuple[Slices, Slices]:
        """The part of the crop that lies in an image (H, W): where in the image, where in it."""
        inside = [
            slice(max(start, 0), min(start + self.size, length))
            for start, length in zip((self.top, self.left), shape, strict=True)
        ]
        own = [
            slice(part.start - start, part.stop - start)
            for part, start in zip(inside, (self.top, self.left), strict=True)
        ]
        return (inside[0], inside[1]), (own[0], own[1])

    def own_pixels(self, labels: Labels) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """The object's pixels within its crop, (size, size)."""
        inside, own = self.windows(labels.shape)
        pixels = np.zeros((self.size, self.size), dtype=bool)
        pixels[own] = labels[inside] == self.number
        return pixels


def cell_places(labels: Labels, size: int) -> list[CellPlace]:
    """Find the objects of a label image (H, W), in the order of their numbers."""
    numbers, place, areas = np.unique(labels, return_inverse=True, return_counts=True)
    place = place.reshape(-1)
    rows, columns = (axis.reshape(-1) for axis in np.indices(labels.shape))
    y = np.bincount(place, rows, minlength=len(numbers)) / areas
    x = np.bincount(place, columns, minlength=len(numbers)) / areas
    return [
        CellPlace(
            int(numbers[i]), float(x[i]), float(y[i]), int(areas[i]),
            _first(y[i], size), _first(x[i], size), size,
        )
        for i in np.flatnonzero(numbers)
    ]  # fmt: skip


def each_crop(
    image: FloatPixels, labels: Labels, cropping: Cropping
) -> Iterator[tuple[CellPlace, FloatPixels]]:
    """Crop the objects of one image, at the image's own scale.

    Args:
        image: Intensities, (C, H, W).
        labels: Object numbers, (H, W).
        cropping: How.

    Yields:
        Each object's place, and its crop of shape (C, size, size).

    Raises:
        ValueError: If the crop is larger than the image.
    """
    shorter = min(labels.shape)
    if cropping.size > shorter:
        raise ValueError(
            f"size: expected at most the image's shorter side, {shorter}, got {cropping.size}"
        )
    fill = background(image, labels)[:, None, None]
    for place in cell_places(labels, cropping.size):
        inside, own = place.windows(labels.shape)
        crop = np.repeat(np.repeat(fill, cropping.size, axis=1), cropping.size, axis=2)
        crop[:, own[0], own[1]] = image[:, inside[0], inside[1]]
        if cropping.mask_neighbours:
            others = np.zeros(crop.shape[1:], dtype=bool)
            others[own] = (labels[inside] != 0) & (labels[inside] != place.number)
            crop = np.where(others, fill, crop)
        yield place, crop


def background(image: FloatPixels, labels: Labels) -> FloatPixels:
    """The intensity of each stain where there is no object, (C,)."""
    empty = image[:, labels == 0]
    found = np.median(empty, axis=1) if empty.size else image.min(axis=(1, 2))
    return np.asarray(found, dtype=image.dtype)


def resized(images: FloatPixels, side: int) -> FloatPixels:
    """Resize (N, C, H, W) to a side, bilinearly, and without aliasing where that is smaller."""
    if images.shape[-2:] == (side, side):
        return images
    smooth = F.interpolate(
        torch.from_numpy(images), (side, side), mode="bilinear", antialias=side < images.shape[-1]
    )
    return np.asarray(smooth.numpy())


def crop_cells(
    images: Tensor,
    labels: Tensor,
    *,
    size: int,
    scale: int | None = None,
    mask_neighbours: bool = False,
) -> Tensor:
    """Crop all objects as :func:`explain_cells` does, to train a network on or to look at.

    Args:
        images: Images of shape (N, C, H, W).
        labels: Object numbers of shape (N, H, W), 0 where there is none.
        size: As in :func:`explain_cells`.
        scale: As in :func:`explain_cells`.
        mask_neighbours: As in :func:`explain_cells`.

    Returns:
        Crops of shape (M, C, scale, scale), by image and object number.

    Raises:
        TypeError: As :func:`explain_cells`.
        ValueError: As :func:`explain_cells`.

    Examples:
        >>> crop_cells(torch.rand(1, 3, 64, 64), labels, size=24, scale=48).shape
        torch.Size([7, 3, 48, 48])
    """
    cropping = Cropping(size, scale, mask_neighbours)
    fields = check_fields(images, labels)
    crops = [crop for field in fields for _, crop in each_crop(*field, cropping)]
    if not crops:
        return images.new_zeros((0, images.shape[1], cropping.side, cropping.side))
    return torch.from_numpy(resized(np.stack(crops), cropping.side)).to(images.device)


def check_fields(
    images: Tensor, labels: Tensor, name: str = "images", labels_name: str = "labels"
) -> list[tuple[FloatPixels, Labels]]:
    """Return the images and label images of a call as arrays, one pair an image.

    Args:
        images: What should be images, or maps, (N, C, H, W).
        labels: What should be label images, (N, H, W).
        name: What the first is called in errors.
        labels_name: What the second is called.

    Raises:
        TypeError: If they are no tensors of floating-point, or of whole, numbers.
        ValueError: If their shapes do not fit, a value is not finite, or a number negative.
    """
    for argument, value in {name: images, labels_name: labels}.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{argument}: expected a tensor, got {kind_of(value)}")
    if images.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name}: expected float32 or float64, got {images.dtype}")
    if images.ndim != 4 or not images.numel():
        raise ValueError(f"{name}: expected (N, C, H, W), got {tuple(images.shape)}")
    if not bool(torch.isfinite(images).all()):
        raise ValueError(f"{name}: expected finite values, got NaN or infinity")
    numbers = _numbers(labels, (len(images), *images.shape[2:]), labels_name)
    return list(zip(images.detach().cpu().numpy(), numbers, strict=True))


def _numbers(labels: Tensor, shape: tuple[int, ...], name: str) -> Labels:
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(
            f"{name}: expected whole numbers, one an object, got {labels.dtype}; a mask tells no "
            "objects apart, number them first"
        )
    if tuple(labels.shape) != shape:
        raise ValueError(f"{name}: expected {shape}, got {tuple(labels.shape)}")
    labels = labels.cpu().to(torch.int64)
    if int(labels.min()) < 0:
        raise ValueError(f"{name}: expected numbers from 0, got {int(labels.min())}")
    return np.asarray(labels.numpy())


def _first(centre: float, size: int) -> int:
    return math.floor(centre - (size - 1) / 2 + 0.5)
