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

from captum_pcim.screen.settings import (
    AttributionSettings,
    ControlSettings,
    ImageSettings,
    ModelSettings,
    OutputSettings,
    RunSettings,
    WindowSettings,
)
from captum_pcim.screen.toml import ConfigError, Table, check, from_tables, read_toml

__all__ = [
    "AttributionSettings",
    "ConfigError",
    "ControlSettings",
    "ImageSettings",
    "ModelSettings",
    "OutputSettings",
    "RunSettings",
    "ScreenConfig",
    "WindowSettings",
]


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
        left_out = [s for s in self.images.stains if s not in self.windows.fixed]
        check(
            not self.windows.fixed or not left_out or bool(self.windows.percentiles),
            "windows.fixed",
            f"also a window for {left_out}, or percentiles",
            "neither",
        )

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
        """Reads a TOML file; its paths are relative to the file's own folder."""
        return cls.from_dict(read_toml(path), Path(path).parent)

    def _located(self, folder: Path) -> ScreenConfig:
        def absolute(part: Any) -> Any:
            if not part.path:
                return part
            return dataclasses.replace(part, path=os.path.join(folder, part.path))

        return dataclasses.replace(
            self,
            images=absolute(self.images),
            model=absolute(self.model),
            output=absolute(self.output),
        )

    def digest(self) -> str:
        """SHA-256 of every entry that changes a result, and of no other.

        Where the images and the results are, how the tables are written and how the work is
        divided are left out: moving a screen or adding workers does not discard its results.
        """
        said = {
            "stains": self.images.stains,
            "channels": self.images.channels,
            "labels": self.images.labels,
            "objects": self.images.objects,
            "windows": dataclasses.asdict(self.windows),
            "model": [self.model.factory, self.model.score, self.model.target_number],
            "attribution": dataclasses.asdict(self.attribution),
            "controls": dataclasses.asdict(self.controls),
            "previews": self.output.previews,
            "maps": self.output.maps,
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
