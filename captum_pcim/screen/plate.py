"""Wells, fields of view, and what a search for them found."""

from __future__ import annotations

from dataclasses import dataclass, field

from captum_pcim.images.stack import Plane

UNREADABLE = "fields that cannot be read"
Place = tuple[str, str, str]  # plate, well, field


@dataclass(frozen=True, order=True)
class Field:
    """One field of view: where it lies on which plate, and which files show it.

    Args:
        plate: Name of the plate.
        well: ``A01`` to ``AF48``, on plates of 3456 wells to ``AV72``.
        site: Name of the field within the well.
        files: The files of each stain in the network's order, several where its planes along z are
            files of their own, none where a file is missing. If ``together``, the one file or
            OME-Zarr image folder of all stains.
        labels: The label image, or an empty name.
        together: Whether one file or folder holds all stains.
        z: The plane or projection that is still to be taken, within a file or over a stain's files.
        t: The time point that is still to be taken within a file.
        plane: What the image is along z, for the tables.
        time: Its time point, for the tables.
        number: Its row in a load file, from 1; 0 where there is none.
        metadata: Further columns of the tables and their values.
        illumination: Each stain's illumination image, or an empty name.
        pixel_size: Micrometers in y and x, where the instrument's files tell; or empty.
        problem: Why it cannot be read, as far as is known without opening a file.
    """

    plate: str
    well: str
    site: str
    files: tuple[tuple[str, ...], ...]
    labels: str = ""
    together: bool = False
    z: Plane = None
    t: int | None = None
    plane: str = "1"
    time: str = "1"
    number: int = 0
    metadata: tuple[tuple[str, str], ...] = ()
    illumination: tuple[str, ...] = ()
    pixel_size: tuple[float, ...] = ()
    problem: str = ""

    def __str__(self) -> str:
        """Names the field as messages do."""
        return f"{self.plate} {self.well}" + (f" field {self.site}" if self.site else "")


@dataclass(frozen=True)
class Remark:
    """Something that was found and passed over, or asked for and not found.

    Args:
        what: What it is, in the plural.
        count: How many.
        example: One of them.
        missing: Whether it was asked for.
    """

    what: str
    count: int
    example: str
    missing: bool = False

    def __str__(self) -> str:
        """Counts and names it."""
        return f"{self.what}: {self.count}, for example {self.example}"


@dataclass
class Survey:
    """What a screen's images are, before any is opened.

    Args:
        fields: Its fields, in order.
        channels: What is known of the channels that there are, for a person to read.
    """

    fields: list[Field] = field(default_factory=list)
    channels: dict[str, None] = field(default_factory=dict)
    _remarks: dict[str, Remark] = field(default_factory=dict)

    @property
    def remarks(self) -> list[Remark]:
        """What was passed over and what is missing, the missing first."""
        return sorted(self._remarks.values(), key=lambda remark: not remark.missing)

    def remark(self, what: str, example: object, missing: bool = False) -> None:
        """Counts one more of a kind; the first one is its example."""
        known = self._remarks.get(what, Remark(what, 0, str(example), missing))
        self._remarks[what] = Remark(what, known.count + 1, known.example, missing)
