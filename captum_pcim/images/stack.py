"""Time points, stains and planes of an image, and the flat image that is chosen of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[Any]
FloatPixels = npt.NDArray[np.float32]

MAX_SAMPLES = 2**28  # pixels times stains; a header can claim any size
PROJECTIONS = ("max", "mean")

Plane = int | str | None
"""Which planes along z make the image: a plane's number, counted from 1, ``"max"`` or ``"mean"``
over all of them, or None where there is only one."""


class ImageError(ValueError):
    """An image file cannot be used; the message says why."""


@dataclass(frozen=True, eq=False)
class Stack:
    """What an image file holds, read plane by plane.

    Args:
        times: Number of time points.
        stains: Number of stains.
        depth: Number of planes along z.
        plane: Reads the (H, W) pixels of a time point, stain and plane, each counted from 0.
        names: Names of the stains, or empty. As many as there are stains, or none can be asked for.
        strict: Whether a stain that is asked for must be among the names. Otherwise names of which
            none fits are passed over, and the stains are taken in order.
        unsaid: Whether nothing says that the stains are stains: pages of a file without axes.
    """

    times: int
    stains: int
    depth: int
    plane: Callable[[int, int, int], Pixels]
    names: tuple[str, ...] = ()
    strict: bool = True
    unsaid: bool = False

    def as_one_stain(self) -> Stack:
        """The same where it is known to show one stain: pages without axes are then planes."""
        if not self.unsaid:
            return self
        return Stack(self.times, 1, self.stains, lambda t, _, z: self.plane(t, z, 0))

    def image(self, z: Plane = None, t: int | None = None, channels: Sequence[str] = ()) -> Pixels:
        """Choose a flat image.

        Args:
            z: The plane or the projection. None where there is only one plane.
            t: The time point, from 1. None where there is only one.
            channels: Names of the wanted stains in their order. Empty for all.

        Returns:
            Array of shape (C, H, W) in the stored type.

        Raises:
            ImageError: A stain is missing, or there are planes or time points to choose from and
                none was chosen, or one that is not there.
        """
        if self.unsaid and z is not None:  # who asks for a plane says that the pages are planes
            return self.as_one_stain().image(z, t, channels)
        planes = chosen_planes(range(1, self.depth + 1), z)
        time = chosen_time(range(1, self.times + 1), t) - 1
        wanted = self._wanted(channels)
        if not wanted:
            raise ImageError("the image has no stains")
        images = [
            project((self.plane(time, stain, number - 1) for number in planes), z)
            for stain in wanted
        ]
        if sum(image.size for image in images) > MAX_SAMPLES:
            raise ImageError(f"{len(images)} stains of {images[0].shape} pixels are too large")
        return np.stack(images)

    def _wanted(self, channels: Sequence[str]) -> list[int]:
        """Where the wanted stains lie: by name where they are named, else in order.

        Letters' case matters only where names differ by nothing else.
        """
        everything = list(range(self.stains))
        if not channels:
            return everything
        if any(self.names) and len(self.names) != self.stains:
            raise ImageError(
                f"which channel is which is not told: {self.stains} channels, but the names "
                f"{list(self.names)}"
            )
        fitting = [self._fitting(name, channels) for name in channels]
        if self.names and all(len(places) == 1 for places in fitting):
            return [place for (place,) in fitting]
        if any(self.names) and (self.strict or any(fitting)):
            absent = [n for n, places in zip(channels, fitting, strict=True) if not places]
            twice = [n for n, places in zip(channels, fitting, strict=True) if len(places) > 1]
            found = f"the image has {list(self.names)}"
            raise ImageError(
                f"no channel {', '.join(absent)}; {found}"
                if absent
                else f"more than one channel {', '.join(twice)}; {found}"
            )
        if self.stains != len(channels):
            raise ImageError(
                f"no channel {', '.join(channels)}; the image has {self.stains} without a name"
            )
        self._refuse_other_order(channels)
        return everything

    def _fitting(self, name: str, channels: Sequence[str]) -> list[int]:
        """The stains of a name; where none has it, of the name in other letters' case."""
        exact = [i for i, other in enumerate(self.names) if other == name]
        return exact or [
            i
            for i, other in enumerate(self.names)
            if other.casefold() == name.casefold() and other not in channels
        ]

    def _refuse_other_order(self, channels: Sequence[str]) -> None:
        """Labels such as file names, taken in order, must not hold the name of another stain."""
        for place, name in enumerate(channels):
            word = re.compile(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", re.IGNORECASE)
            held = [i for i, label in enumerate(self.names) if name and word.search(label)]
            if held and place not in held:
                raise ImageError(
                    f"channel {name} would be number {place + 1} in order, but the image has "
                    f"{list(self.names)}"
                )


def chosen_planes(there: Sequence[int], z: Plane) -> list[int]:
    """The planes that make the image.

    Args:
        there: The numbers of the planes that there are.
        z: See :data:`Plane`.

    Raises:
        ImageError: There are several and none was chosen, or one that is not there.
    """
    if z in PROJECTIONS or (z is None and len(there) == 1):
        return list(there)
    if z is None:
        raise ImageError(
            f"planes along z: {_numbers(there)}. Say which by z: a number, 'max' or 'mean'"
        )
    if z not in there:
        raise ImageError(f"no plane {z} along z; there are {_numbers(there)}")
    return [int(z)]


def chosen_time(there: Sequence[int], t: int | None) -> int:
    """The time point of the image.

    Args:
        there: The numbers of the time points that there are.
        t: The one that is wanted, or None where there is only one.

    Raises:
        ImageError: There are several and none was chosen, or one that is not there.
    """
    if t is None and len(there) == 1:
        return there[0]
    if t is None:
        raise ImageError(f"time points: {_numbers(there)}. Say which by t: a number")
    if t not in there:
        raise ImageError(f"no time point {t}; there are {_numbers(there)}")
    return t


def project(planes: Iterable[Pixels], z: Plane) -> Pixels:
    """The largest or the mean intensity of every pixel along z, in the stored type.

    A mean of whole numbers is rounded, so that it is scaled as the planes would be.
    """
    planes = iter(planes)
    result = next(planes)
    if z != "mean":
        for plane in planes:
            result = np.maximum(result, plane)
        return result
    total, count = result.astype(np.float64), 1
    for plane in planes:
        total, count = total + plane, count + 1
    mean = total / count
    if np.issubdtype(result.dtype, np.integer):
        mean = np.rint(mean)
    return mean.astype(result.dtype)


def _numbers(there: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in there[:12])
    return shown + (f", ... {there[-1]}" if len(there) > 12 else "")
