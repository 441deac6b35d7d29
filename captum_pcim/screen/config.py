"""What a screen is: the TOML file, read and checked before anything is touched."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from captum_pcim.classifiers.classes import contrast_numbers
from captum_pcim.classifiers.files import ModelError
from captum_pcim.screen.attribution import AttributionSettings
from captum_pcim.screen.settings import (
    CellSettings,
    ControlSettings,
    ImageSettings,
    ModelSettings,
    OutputSettings,
    RunSettings,
)
from captum_pcim.screen.store import FULL_MAP
from captum_pcim.screen.toml import ConfigError, Table, check, from_tables, read_toml
from captum_pcim.screen.window_settings import WindowSettings

__all__ = [
    "AttributionSettings",
    "CellSettings",
    "ConfigError",
    "ControlSettings",
    "ImageSettings",
    "ModelSettings",
    "OutputSettings",
    "RunSettings",
    "ScreenConfig",
    "WindowSettings",
]


FIELDS_OF_CELLS = 4  # their cells are some hundreds, and their pixels all in memory


def __getattr__(name: str) -> Any:
    """The settings under the names that they had first: ``Images``, ``Run`` and so on."""
    new = f"{name.removesuffix('s')}Settings"
    if new not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(f"{name} is now called {new}", DeprecationWarning, stacklevel=2)
    return globals()[new]


@dataclass(frozen=True)
class ScreenConfig(Table):
    """One screen: its images, network and outputs. See ``docs/scaling.md`` for an example."""

    images: ImageSettings
    model: ModelSettings
    output: OutputSettings
    windows: WindowSettings = field(default_factory=WindowSettings)
    attribution: AttributionSettings = field(default_factory=AttributionSettings)
    controls: ControlSettings = field(default_factory=ControlSettings)
    cells: CellSettings = field(default_factory=CellSettings)
    run: RunSettings = field(default_factory=RunSettings)

    def __post_init__(self) -> None:
        """Checks the entries."""
        for stain in self.windows.fixed:
            check(
                stain in self.images.stains,
                "windows.fixed",
                f"stains among {self.images.stains}",
                stain,
            )
        n_stains = len(self.images.stains)
        check(
            self.output.colours == "stains" or n_stains == 3,
            "output.colours",
            'three stains with "rgb"',
            n_stains,
        )
        self._check_contrast()
        left_out = [s for s in self.images.stains if s not in self.windows.fixed]
        check(
            self.windows.word != "fixed" or not left_out,
            "windows.fixed",
            f"also a window for {left_out}, or percentiles",
            "neither",
        )
        over_controls = (
            self.windows.measured(self.images.stains) and self.windows.over == "controls"
        )
        check(
            not over_controls or bool(self.controls.wells),
            "controls.wells",
            "wells, as windows.over is 'controls'",
            self.controls.wells,
        )
        self._check_cells()

    def _check_cells(self) -> None:
        if not self.cells.size:
            return
        labels = self.images.labels
        check(bool(labels), "images.labels", "label images, as there are [cells]", labels)
        blended = bool(self.controls.wells) and self.controls.reference != "none"
        check(
            not blended,
            "controls.reference",
            "'none', as a control field is no reference for [cells]",
            self.controls.reference,
        )

    def _check_contrast(self) -> None:
        try:
            target = self.model.target_number
            contrast_numbers(self.attribution.contrast, self.model.classes, target)
        except ModelError as error:
            raise ConfigError(f"attribution.{error}") from error

    @classmethod
    def from_dict(cls, tables: Mapping[str, Any], folder: str | Path = ".") -> ScreenConfig:
        """Checks nested dictionaries and makes a configuration of them.

        Args:
            tables: What the TOML file holds.
            folder: Paths in ``tables`` are relative to this folder.

        Raises:
            ConfigError: An entry is unknown, missing or of the wrong type.
        """
        config = from_tables(cls, tables)
        return config._located(Path(folder).resolve())

    @classmethod
    def from_toml(cls, path: str | Path) -> ScreenConfig:
        """Reads a TOML file; its paths are relative to the file's own folder.

        ``~`` and environment variables (``$SCRATCH``) in paths are filled in.
        """
        return cls.from_dict(read_toml(path), Path(path).parent)

    def _located(self, folder: Path) -> ScreenConfig:
        def absolute(part: Any, entry: str) -> Any:
            name = entry.partition(".")[2]
            said = getattr(part, name)
            if not said:
                return part
            here = "a path on this machine: mount or copy what is elsewhere"
            check("://" not in said, entry, here, said)
            path = os.path.expandvars(os.path.expanduser(said))
            return dataclasses.replace(part, **{name: os.path.join(folder, path)})

        located = dataclasses.replace(
            self,
            images=absolute(self.images, "images.path"),
            model=absolute(self.model, "model.path"),
            output=absolute(self.output, "output.path"),
            windows=absolute(self.windows, "windows.table"),
        )
        apart = os.path.realpath(located.output.path) != os.path.realpath(located.images.path)
        check(apart, "output.path", "another folder than images.path", located.output.path)
        return located

    @property
    def wanted(self) -> tuple[str, ...]:
        """Files that a result must have beside its manifest to count as done."""
        return (FULL_MAP,) if self.output.maps else ()

    @property
    def fields_at_once(self) -> int:
        """How many fields a worker holds at once; batches of cells are filled across them."""
        batch = self.run.batch_size
        return min(batch, FIELDS_OF_CELLS) if self.cells.size else batch

    def digest(self) -> str:
        """SHA-256 of every entry that changes a map, and of no other.

        Where the images and the results are, what stains, objects and classes are called, what is
        written beside the map and how the work is divided are left out: to rename, to move or to
        add workers does not discard a result. What belongs to a plate or an image (its files, its
        label image, its windows in a table) is part of its own key.
        """
        stains, wells = self.images.stains, self.controls.wells
        windows = self.windows.templates(stains)
        contrast = contrast_numbers(self.attribution.contrast, self.model.classes)
        said = {
            "channels": self.images.channels,
            "windows": [dataclasses.astuple(window) for window in windows],
            "over": self.windows.over if any(window.measured for window in windows) else "",
            "model": [self.model.factory, self.model.score, self.model.target_number],
            "attribution": self.attribution.said() + ([f"{contrast=}"] if contrast else []),
            "controls": [self.controls.reference] if wells else [],
        }
        if self.cells.size:
            cells = self.cells
            said["cells"] = [cells.size, cells.scale or cells.size, cells.mask_neighbours]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
