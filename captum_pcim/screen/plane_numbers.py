"""Planes and time points counted from 1, where the names of a plate count from 0."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from captum_pcim.screen.layouts import Shot
from captum_pcim.screen.plate import Survey
from captum_pcim.screen.plate_names import KnownPlates

AXES = {"z": "planes", "t": "time points"}
Axis = tuple[str, str]  # a plate's name, and z or t


def without_plane_0(shots: Sequence[Shot]) -> list[Shot]:
    """ImageXpress calls its projection plane 0, or does not say."""
    return [replace(shot, name=replace(shot.name, z=shot.name.z or None)) for shot in shots]


def counted_from_1(
    found: Survey, shots: Sequence[Shot], masks: Sequence[Shot], where: KnownPlates
) -> tuple[list[Shot], list[Shot]]:
    """Counts each plate's images, and apart from them its label images, from 1.

    Label images without a 0 count as the images do, as far as they have the same numbers: those of
    the first plane may be missing.

    Returns:
        The images and the label images.
    """
    of_images, of_masks = _numbers(shots, where.named), _numbers(masks, where.of)
    images_from_0 = {axis for axis, there in of_images.items() if 0 in there}
    masks_from_0 = {
        axis
        for axis, there in of_masks.items()
        if 0 in there or (axis in images_from_0 and max(there) <= max(of_images[axis]))
    }
    for plate, axis in sorted(of_images.keys() - images_from_0):
        if any(axis == other for _, other in images_from_0):
            found.remark(f"plates whose {AXES[axis]} count from 1, beside others' from 0", plate)
    return _raised(shots, where.named, images_from_0), _raised(masks, where.of, masks_from_0)


def _numbers(shots: Sequence[Shot], plate_of: Callable[[Shot], str | None]) -> dict[Axis, set[int]]:
    numbers: dict[Axis, set[int]] = defaultdict(set)
    for shot in shots:
        for axis in AXES:
            number = getattr(shot.name, axis)
            if number is not None:
                numbers[plate_of(shot) or "", axis].add(number)
    return numbers


def _raised(
    shots: Sequence[Shot], plate_of: Callable[[Shot], str | None], from_0: Collection[Axis]
) -> list[Shot]:
    raised = []
    for shot in shots:
        plate = plate_of(shot) or ""
        told = {axis: getattr(shot.name, axis) for axis in AXES if (plate, axis) in from_0}
        more = {axis: number + 1 for axis, number in told.items() if number is not None}
        raised.append(replace(shot, name=replace(shot.name, **more)))
    return raised
