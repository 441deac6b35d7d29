"""The folder that ``captum-pcim explain`` writes: maps, overlays, diagnostics and a manifest.

::

    out/
      maps/<image>.npy        float32, (H, W), or (C, H, W) with one weight per stain
      overlays/<image>.png
      diagnostics.csv         one row an image
      manifest.json           the settings, and which images are done

Every file is complete or not there, and the manifest is written after the files it lists, so a
run that was killed is taken up again where it stopped. It tells the settings from the beginning on:
a run that finds other settings there than its own stops, so that maps of two never mix.
"""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from captum_pcim._extras import needed
from captum_pcim._files import csv_bytes, remove_leftovers, write_bytes
from captum_pcim.classifiers.tables import class_columns
from captum_pcim.images.read import FloatPixels
from captum_pcim.visualize.overlay_png import overlay_png

if TYPE_CHECKING:
    from captum_pcim.explainer import Cell, Explanation

ABSENT = "not among the images of the last run; the map is of an earlier one"
MAP_SUFFIXES = {"npy": ".npy", "tiff": ".tif"}


class OutputError(ValueError):
    """The out folder cannot be used for these settings; the message says why."""


class TakenOverError(OutputError):
    """Another run has begun to write to the folder with other settings."""


@dataclass
class OutFolder:
    """What is done, and the rows of the table.

    Attributes:
        folder: Where everything is written.
        settings: All that the maps depend on beside the images.
        done: By image name, the SHA-256 of its files and its row.
        other: By image name, the rows of images that failed or were skipped.
        classes: Names of the classes, for the table.
        absent: Names of images in `done` that are not among this run's.
    """

    folder: Path
    settings: dict[str, Any]
    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    other: dict[str, dict[str, Any]] = field(default_factory=dict)
    classes: Sequence[str] = ()
    absent: Collection[str] = ()
    _seen: tuple[int, int] | None = None

    @classmethod
    def open(
        cls,
        folder: Path,
        settings: dict[str, Any],
        overwrite: bool = False,
        classes: Sequence[str] = (),
        images: Collection[str] | None = None,
    ) -> OutFolder:
        """Take up the folder, or start it.

        Args:
            folder: Made if need be.
            settings: All that the maps depend on, as JSON holds it.
            overwrite: Delete what an earlier run with other settings wrote.
            classes: Names of the classes, for the table.
            images: Names of this run's images. None: those of earlier runs and its own.

        Raises:
            OutputError: If an earlier run had other settings, or its manifest cannot be read.
        """
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
        out = cls(folder, settings, classes=classes)
        out._seen = _state(folder / "manifest.json")
        manifest = out._manifest()
        if manifest is None:
            out._write_manifest()
            return out
        earlier, done = manifest
        differing = _differing(settings, earlier)
        if differing and not overwrite:
            raise OutputError(
                f"out: {str(folder)!r} was written with other settings ({', '.join(differing)}); "
                "give another folder, or --overwrite to replace its maps"
            )
        out.done = done
        if differing:
            out._forget_all()
        out.absent = [] if images is None else sorted(set(out.done) - set(images))
        return out

    def is_done(self, name: str, sha256: str) -> bool:
        """Whether an image of this content has its map and its overlay."""
        entry = self.done.get(name)
        files = (self._map_path(name), self._overlay_path(name))
        return entry is not None and entry["sha256"] == sha256 and all(f.is_file() for f in files)

    def add(
        self,
        name: str,
        sha256: str,
        image: FloatPixels,
        explanation: Explanation,
        seconds: float,
        columns: Mapping[str, str],
    ) -> None:
        """Write an image's map and overlay and note it as done.

        Args:
            name: The image's.
            sha256: Of all that its map depends on beside the settings.
            image: What the network got, (C, H, W).
            explanation: What was found.
            seconds: How long it took.
            columns: Further columns of the table.

        Raises:
            OutputError: If the name leads out of the folder.
            TakenOverError: Another run has begun here with other settings.
        """
        self._require_own()
        weights = explanation.attributions
        if not self.settings["per_stain"]:
            weights = weights[0]
        overlay = overlay_png(image, weights, self.settings["colours"])
        self._write(self._map_path(name), self._encoded(weights))
        self._write(self._overlay_path(name), overlay)
        numbers = explanation.diagnostics | {"seconds": seconds}
        row = {name: _text(value) for name, value in numbers.items()}
        row |= {"image": name, "status": "ok", "notes": explanation.notes, **columns}
        self.done[name] = {"sha256": sha256, "classes": explanation.classes, "row": row}

    def add_other(self, name: str, status: str, reason: str) -> None:
        """Note an image without a map, and delete the map that it had before it changed."""
        self._require_own()
        if self.done.pop(name, None) is not None:
            self._map_path(name).unlink(missing_ok=True)
            self._overlay_path(name).unlink(missing_ok=True)
        self.other[name] = {"image": name, "status": status, "reason": reason}

    def write_tables(self) -> None:
        """Write the manifest and the table as they stand.

        Raises:
            TakenOverError: Another run has begun here with other settings.
        """
        self._require_own()
        self._write_manifest()
        self._write(self.folder / "diagnostics.csv", self._table())

    def _write_manifest(self) -> None:
        manifest = {"settings": self.settings, "images": self.done}
        path = self.folder / "manifest.json"
        write_bytes(path, json.dumps(manifest, indent=1).encode())
        self._seen = _state(path)

    def _require_own(self) -> None:
        """Read the manifest again where another run has written it."""
        state = _state(self.folder / "manifest.json")
        if state in (None, self._seen):
            return
        manifest = self._manifest()
        if manifest is not None and (differing := _differing(manifest[0], self.settings)):
            raise TakenOverError(
                f"out: another run writes to {str(self.folder)!r} with other settings "
                f"({', '.join(differing)}); this one stops. Give each its own folder"
            )
        self._seen = state

    def rows_done(self) -> list[dict[str, str]]:
        """The rows of this run's images that have their maps."""
        return [entry["row"] for name, entry in self.done.items() if name not in self.absent]

    def _table(self) -> bytes:
        done = {name: self._row(entry) for name, entry in self.done.items()}
        for name in self.absent:
            done[name] |= {"status": "absent", "reason": ABSENT}
        rows = done | self.other
        own = dict.fromkeys(name for row in done.values() for name in row)
        return csv_bytes(_columns(own), (rows[name] for name in sorted(rows)))

    def _row(self, entry: dict[str, Any]) -> dict[str, str]:
        """The row of an image, its classes under their names."""
        told = class_columns(self.classes, **entry["classes"])
        return {**{name: _text(value) for name, value in told.items()}, **entry["row"]}

    def _manifest(self) -> tuple[dict[str, Any], dict[str, dict[str, Any]]] | None:
        path = self.folder / "manifest.json"
        try:
            manifest = json.loads(path.read_bytes())
            settings, done = manifest["settings"], manifest["images"]
            if not (
                isinstance(settings, dict) and all(e["sha256"] and e["row"] for e in done.values())
            ):
                raise TypeError("not a manifest")
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise OutputError(f"out: {str(path)!r} is not a manifest of this command") from error
        return settings, done

    def _forget_all(self) -> None:
        for name in self.done:
            for suffix in MAP_SUFFIXES.values():
                self._inside(self.folder / "maps" / f"{name}{suffix}").unlink(missing_ok=True)
            self._overlay_path(name).unlink(missing_ok=True)
        self.done = {}
        self.write_tables()

    def _encoded(self, weights: FloatPixels) -> bytes:
        stream = io.BytesIO()
        if self.settings["map_format"] == "npy":
            np.save(stream, weights, allow_pickle=False)
        else:
            tifffile = needed("tifffile", "writing TIFF files needs", "tiff")
            tifffile.imwrite(stream, weights, photometric="minisblack")
        return stream.getvalue()

    def _map_path(self, name: str) -> Path:
        suffix = MAP_SUFFIXES[self.settings["map_format"]]
        return self._inside(self.folder / "maps" / f"{name}{suffix}")

    def _overlay_path(self, name: str) -> Path:
        return self._inside(self.folder / "overlays" / f"{name}.png")

    def _inside(self, path: Path) -> Path:
        """Refuse a path that leaves the folder, by its name or over a symbolic link."""
        if not path.parent.resolve().is_relative_to(self.folder.resolve()):
            raise OutputError(f"out: {str(path)!r} would be outside the folder")
        return path

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, data)


def _state(path: Path) -> tuple[int, int] | None:
    """What tells a file from the one that replaces it; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def _differing(settings: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return [key for key in settings | other if settings.get(key) != other.get(key)]


def _columns(own: Iterable[str]) -> list[str]:
    """What there is of every image, in order, then what there is of these: their classes."""
    from captum_pcim.explainer import DIAGNOSTICS

    found = ["image", "target", "predicted", *DIAGNOSTICS, "seconds", "status", "reason", "notes"]
    return list(dict.fromkeys([*found, *own]))


def _text(value: Cell) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
