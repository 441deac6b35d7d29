"""The tables of a screen's TOML file and what their entries may be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from captum_pcim.classifiers.classes import target_number
from captum_pcim.classifiers.files import ModelError
from captum_pcim.core.network import PREDICTED
from captum_pcim.core.scores import DEFAULT_KIND, ScoreKind
from captum_pcim.screen.toml import Table, check

Source = Literal["folder", "load_file", "ome_zarr"]
Engine = Literal["local", "ray"]
TableFormat = Literal["csv", "parquet"]
ControlReference = Literal["mean", "sample", "none"]
Illumination = Literal["divide", "subtract", "none"]
PreviewColours = Literal["stains", "rgb"]
MapForm = Literal["tiff", "ome_zarr"]


@dataclass(frozen=True)
class ImageSettings(Table):
    """Where the images are and what their planes show.

    Args:
        source: ``"folder"``, ``"load_file"`` or ``"ome_zarr"``.
        path: The folder, the load file (CSV, ``.csv.gz`` or Parquet) or the OME-Zarr plate. A
            folder that holds several plates is read as all of them.
        stains: The stains in the order in which the network takes them.
        channels: What the file names, load-file columns, OME-TIFF or OME-Zarr channels call these
            stains, in the same order. Empty means the same names.
        pattern: For folders: a name in :data:`captum_pcim.screen.layouts.PATTERNS` or a regular
            expression with the groups ``well`` (or ``row`` and ``col``, or ``row0`` and ``col0``,
            which count from 0) and ``field``, and where names tell them ``plate``, ``channel``,
            ``z`` and ``t``. Without ``channel`` one file holds all stains; if it names them, they
            are found by their names.
        labels: Label images of the objects: for folders a regular expression like ``pattern``,
            for load files and OME-Zarr the name of the label image. Empty means none.
        objects: What the labelled objects are called in the table (CellProfiler's object name).
        z: The plane along z, counted from 1, ``"max"`` or ``"mean"`` over all planes, or
            ``"projection"``, the one that the microscope wrote beside them. None where there is
            only one plane.
        t: The time point, counted from 1. None where there is only one.
        acquisition: Which acquisition of an OME-Zarr plate that has several: its number or name.
        illumination: ``"divide"`` by or ``"subtract"`` the illumination images that a load file
            names, or ``"none"``.
    """

    path: str
    stains: list[str]
    source: Source = "folder"
    channels: list[str] = field(default_factory=list)
    pattern: str = "plain"
    labels: str = ""
    objects: str = "Cells"
    z: int | str | None = None
    t: int | None = None
    acquisition: int | str | None = None
    illumination: Illumination | None = None

    def __post_init__(self) -> None:
        """Checks the entries."""
        check(bool(self.path), "images.path", "a path", self.path)
        check(bool(self.stains) and all(self.stains), "images.stains", "names", self.stains)
        check(
            len(set(self.stains)) == len(self.stains), "images.stains", "no name twice", self.stains
        )
        check(bool(self.objects), "images.objects", "a name", self.objects)
        own = self.objects != "Image"  # what tables call images
        check(own, "images.objects", "a name, not 'Image'", self.objects)
        if not self.channels:
            object.__setattr__(self, "channels", list(self.stains))
        check(
            len(self.channels) == len(self.stains),
            "images.channels",
            f"{len(self.stains)} names, one per stain",
            self.channels,
        )
        check(
            self.z in (None, "max", "mean", "projection") or _counted(self.z),
            "images.z",
            "a plane's number from 1, 'max', 'mean' or 'projection'",
            self.z,
        )
        check(self.t is None or _counted(self.t), "images.t", "a number from 1", self.t)
        for entry, source, said in (
            ("pattern", "folder", self.pattern != "plain"),
            ("illumination", "load_file", self.illumination not in (None, "none")),
            ("acquisition", "ome_zarr", self.acquisition is not None),
        ):
            expected = f"source = {source!r}, as no other source takes it"
            check(not said or self.source == source, f"images.{entry}", expected, self.source)


@dataclass(frozen=True)
class ModelSettings(Table):
    """The network.

    Args:
        path: An ONNX file, with ``trust`` any file of torch, or with ``factory`` a state dict.
        factory: ``"module:function"`` that builds the network.
        trust: Load a file that may run code: TorchScript, ``.pt2``, a pickled module.
        score: What its outputs are, as in :class:`captum_pcim.PCIM`.
        target: The class to explain, its name or its number from 0, or ``"predicted"``, each
            image's own (also -1).
        classes: Names of the classes in the order of the outputs, for the tables and the overview;
            two for a network of one output. Empty: their numbers.
    """

    path: str = ""
    factory: str = ""
    trust: bool = False
    score: ScoreKind = DEFAULT_KIND
    target: int | str = PREDICTED
    classes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Checks the entries."""
        check(bool(self.path or self.factory), "model", "a path, a factory or both", "neither")
        twice = len(set(self.classes)) < len(self.classes)
        check(not twice, "model.classes", "no name twice", self.classes)
        check(all(self.classes), "model.classes", "no empty name", self.classes)
        numbers = f" to {len(self.classes) - 1}" if self.classes else ""
        check(
            self.target != "" and self._has_target(),
            "model.target",
            f"a class's number from 0{numbers} or one of {[*self.classes, PREDICTED]}",
            self.target,
        )

    def _has_target(self) -> bool:
        try:
            return (self.target_number or 0) >= 0
        except ModelError:
            return False

    @property
    def target_number(self) -> int | None:
        """The number of the class to explain; None for the predicted one."""
        return None if self.target == -1 else target_number(self.target, self.classes)


@dataclass(frozen=True)
class ControlSettings(Table):
    """Negative-control wells whose images are what the evidence is blended against.

    Args:
        wells: Control wells of every plate, for example ``["A01", "B01"]``. Empty: PCIM's own
            references.
        reference: ``"mean"``, the average control image of the plate, ``"sample"``, one control
            image of the same plate drawn with the image's own seed, or ``"none"``: PCIM's own
            references, where controls serve the windows alone.
        fields: At most this many control fields of a plate, evenly spread, are used.
    """

    wells: list[str] = field(default_factory=list)
    reference: ControlReference = "mean"
    fields: int = 64

    def __post_init__(self) -> None:
        """Checks the entries."""
        check(self.fields >= 1, "controls.fields", "at least 1", self.fields)


@dataclass(frozen=True)
class CellSettings(Table):
    """Crops about the objects of the label images, for networks of single cells.

    Args:
        size: Side of a crop in pixels of the image. 0: the network takes whole fields.
        scale: Side in pixels that the network takes. 0: that of the crop.
        mask_neighbours: Whether other objects in a crop are filled with the field's background.
    """

    size: int = 0
    scale: int = 0
    mask_neighbours: bool = False

    def __post_init__(self) -> None:
        """Checks the entries."""
        for name in ("size", "scale"):
            check(getattr(self, name) >= 0, f"cells.{name}", "at least 1", getattr(self, name))
        said = bool(self.scale or self.mask_neighbours)
        check(bool(self.size) or not said, "cells.size", "at least 1", self.size)


@dataclass(frozen=True)
class OutputSettings(Table):
    """What is kept.

    Args:
        path: The results folder.
        previews: Image and map as PNG files of at most 256 pixels a side.
        colours: Of previews: those of stains, or ``"rgb"`` where the three stains are the red,
            green and blue of a picture.
        maps: Full maps as OME-Zarr 0.5, float16, beside each result. About 2 bytes a pixel and
            stain. With ``"tiff"`` or ``"ome_zarr"`` they also stand in ``maps``, as float32 TIFF
            files or as one OME-Zarr plate for each plate, with images and labels.
        table: ``"csv"`` or ``"parquet"``.
    """

    path: str
    previews: bool = True
    colours: PreviewColours = "stains"
    maps: bool | MapForm = False
    table: TableFormat = "csv"

    def __post_init__(self) -> None:
        """Checks the entries."""
        check(bool(self.path), "output.path", "a path", self.path)


@dataclass(frozen=True)
class RunSettings(Table):
    """Where the work is done. Nothing here changes a result.

    Args:
        engine: ``"local"``, this machine's processes, or ``"ray"``.
        workers: Processes or Ray actors. 0, with the local engine, means this very process:
            nothing has to be started, but an image that kills its process ends the run.
        batch_size: Images, or with ``[cells]`` crops, per call of the network's explainer.
        device: A torch device, for example ``"cuda"``.
        threads: CPU threads per worker.
    """

    engine: Engine = "local"
    workers: int = 1
    batch_size: int = 8
    device: str = "cpu"
    threads: int = 1

    def __post_init__(self) -> None:
        """Checks the entries."""
        least = 0 if self.engine == "local" else 1
        check(self.workers >= least, "run.workers", f"at least {least}", self.workers)
        for name in ("batch_size", "threads"):
            check(getattr(self, name) >= 1, f"run.{name}", "at least 1", getattr(self, name))


def _counted(value: int | str | None) -> bool:
    return isinstance(value, int) and value >= 1
