"""Which of the files along z and over time make each field's image."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from captum_pcim.images.stack import PROJECTIONS, ImageError, Plane, chosen_planes, chosen_time
from captum_pcim.screen.config import ConfigError, ImageSettings
from captum_pcim.screen.layouts import Shot
from captum_pcim.screen.plate import Field, Place


@dataclass(frozen=True)
class PlaneChoice:
    """Which files along z make an image.

    Args:
        told: Whether file names tell planes apart.
        z: The plane, ``"max"``, ``"mean"`` or ``"projection"``, the microscope's own.
    """

    told: bool
    z: Plane


def choose_planes(images: ImageSettings, shots: Sequence[Shot]) -> tuple[int | None, PlaneChoice]:
    """The time point, if names tell any, and the planes that are asked for.

    Raises:
        ConfigError: There are several and none was chosen, or one that is not there.
    """
    times = sorted({shot.name.t for shot in shots if shot.name.t is not None})
    planes = sorted({shot.name.z for shot in shots if shot.name.z is not None})
    own = bool(planes) and any(shot.name.z is None for shot in shots)
    try:
        time = chosen_time(times, images.t) if times else None
        if not planes or (own and images.z == "projection"):
            return time, PlaneChoice(bool(planes), images.z)
        if own and images.z is None:
            raise ImageError(
                f"planes along z: {', '.join(map(str, planes))}, and the microscope's own "
                "projection. Say which by z: a number, 'max', 'mean' or 'projection'"
            )
        chosen = chosen_planes(planes, images.z)
    except ImageError as error:
        raise ConfigError(f"images: {error}") from error
    return time, PlaneChoice(True, images.z if images.z in PROJECTIONS else chosen[0])


class FieldFiles:
    """Collects the files of each field and puts them in the network's order."""

    def __init__(self, images: ImageSettings, time: int | None, planes: PlaneChoice) -> None:
        self.images, self.time, self.planes = images, time, planes
        self.shots: dict[Place, dict[int, dict[int | None, str]]] = {}
        self.there: dict[tuple[str, int], set[int]] = defaultdict(set)

    def add(self, place: Place, shot: Shot) -> None:
        """Adds a file.

        Raises:
            ConfigError: Another file is the same plane.
        """
        stains = self.shots.setdefault(place, {})
        assert shot.stain is not None
        planes = stains.setdefault(shot.stain, {})
        if shot.name.t != self.time:
            return
        z = shot.name.z
        known = planes.setdefault(z, shot.path)
        if known != shot.path and os.path.realpath(known) != os.path.realpath(shot.path):
            channel = shot.name.channel
            where = f"{place[0]} {place[1]} field {place[2]}"
            raise ConfigError(
                f"two files are channel {channel!r} of {where}: {known} and {shot.path}; what "
                "tells them apart has no group in images.pattern (plate, well, field, channel, "
                "z or t), or one of them should not be there"
            )
        if z is not None:
            self.there[place[0], shot.stain].add(z)

    def __iter__(self) -> Iterator[Field]:
        """The fields, without their label images."""
        projected = self.planes.told and self.planes.z in PROJECTIONS
        for place, stains in self.shots.items():
            together = -1 in stains
            wanted = [-1] if together else list(range(len(self.images.stains)))
            files, lacking = [], []
            for stain in wanted:
                some, missing = self._files(place[0], stain, stains.get(stain, {}))
                files.append(some)
                name = "all stains" if together else self.images.stains[stain]
                lacking += [name + missing] if missing is not None else []
            yield Field(
                *place,
                files=tuple(files),
                together=together,
                z=self.planes.z if projected or not self.planes.told else None,
                t=self.images.t if self.time is None else None,
                plane=str(self.planes.z or 1),
                time=str(self.time or self.images.t or 1),
                problem=f"no file for stain {', '.join(lacking)}" if lacking else "",
            )

    def _files(
        self, plate: str, stain: int, planes: Mapping[int | None, str]
    ) -> tuple[tuple[str, ...], str | None]:
        """The files of a stain, and what is missing: None, or where."""
        numbers: list[int | None]
        if not self.planes.told or self.planes.z == "projection":
            numbers = [None]
        elif self.planes.z in PROJECTIONS:
            numbers = [*sorted(self.there[plate, stain])] or [1]
        else:
            numbers = [int(self.planes.z or 1)]
        missing = [number for number in numbers if number not in planes]
        if not missing:
            return tuple(planes[number] for number in numbers), None
        where = [str(number) for number in missing if number is not None]
        at = f" at plane {', '.join(where)}" if where and self.planes.told else ""
        at += f" at time point {self.time}" if self.time is not None and self.images.t else ""
        return (), at
