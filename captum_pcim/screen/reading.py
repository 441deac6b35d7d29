"""From a field of view to what the network takes: pixels, windows, labels and control images."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

from captum_pcim.images.intensities import applied, measure, scale
from captum_pcim.images.read import FloatPixels, Pixels
from captum_pcim.images.stack import ImageError
from captum_pcim.images.windows import Window, WindowTable
from captum_pcim.screen.config import ScreenConfig
from captum_pcim.screen.identity import Key, PlateFields
from captum_pcim.screen.planes import read_object_numbers, read_pixels
from captum_pcim.screen.plate import Field
from captum_pcim.screen.store import Store, intact


@dataclass(frozen=True, eq=False)
class FieldImage:
    """One image, ready for the network.

    Args:
        inputs: Intensities after windowing, (C, H, W), float32.
        labels: Object numbers, (H, W), 0 where there is none; or None.
        reference: Control image to blend against, (C, H, W); or None.
        windows: The intensities that became 0 and 1, one window a stain.
    """

    inputs: FloatPixels
    labels: npt.NDArray[np.int64] | None
    reference: FloatPixels | None
    windows: Sequence[Window] = ()


class Reader:
    """Reads images and keeps what belongs to the plate it is at.

    Args:
        config: The screen.
        plates: Each plate's deciding fields.
        store: Keeps windows and mean control images, so that one worker measures them for all.
    """

    def __init__(self, config: ScreenConfig, plates: dict[str, PlateFields], store: Store) -> None:
        self.config = config
        self.plates = plates
        self.store = store
        self._at: tuple[str, Sequence[Window], FloatPixels | None] | None = None

    def __call__(self, key: Key) -> FieldImage:
        """Reads one image.

        Raises:
            ImageError: A file is missing, damaged or of the wrong size.
        """
        windows, mean = self._plate(key.field.plate)
        pixels = read_pixels(key.field, self.config.images)
        windows_here = applied(pixels, windows)
        inputs = scale(pixels, windows_here)
        shape = inputs.shape[1:]
        labels = read_object_numbers(key.field, shape) if key.field.labels else None
        reference = mean
        if self.config.controls.wells and self.config.controls.reference == "sample":
            reference = self._sampled(key, windows)
        if reference is not None and reference.shape != inputs.shape:
            raise ImageError(f"the image is {inputs.shape}, its controls {reference.shape}")
        return FieldImage(inputs, labels, reference, windows_here)

    def _plate(self, plate: str) -> tuple[Sequence[Window], FloatPixels | None]:
        if self._at is None or self._at[0] != plate:
            self._at = (plate, *self._measured(plate))
        return self._at[1], self._at[2]

    def _measured(self, plate: str) -> tuple[Sequence[Window], FloatPixels | None]:
        measured = self.config.windows.measured(self.config.images.stains)
        mean_wanted = bool(self.config.controls.wells) and self.config.controls.reference == "mean"
        if not (measured or mean_wanted):
            return plate_windows(self.config, plate, ()), None
        name = f"{self.plates[plate].sha}.npz"
        if not self.store.kept(name):
            windows = plate_windows(self.config, plate, self.plates[plate].windows)
            mean = self._mean_control(plate, windows) if mean_wanted else np.zeros(0, np.float32)
            content = io.BytesIO()
            np.savez(content, windows=[astuple(window) for window in windows], mean=mean)
            self.store.keep(name, content.getvalue())
        path = self.store.path / "shared" / name
        with intact(path), np.load(path, allow_pickle=False) as kept:
            rows = kept["windows"].tolist()
            windows = [Window(low, high, *map(bool, about)) for low, high, *about in rows]
            return windows, kept["mean"] if mean_wanted else None

    def _mean_control(self, plate: str, windows: Sequence[Window]) -> FloatPixels:
        total, count = np.zeros(0), 0
        for pixels in _readable(self.config, self.plates[plate].controls):
            scaled = scale(pixels, windows).astype(np.float64)
            if count and scaled.shape != total.shape:
                raise ImageError(f"the control images of plate {plate} differ in size")
            total, count = (total + scaled if count else scaled), count + 1
        if not count:
            raise ImageError(f"plate {plate} has no control image that can be read")
        return (total / count).astype(np.float32)

    def _sampled(self, key: Key, windows: Sequence[Window]) -> FloatPixels:
        controls = self.plates[key.field.plate].controls
        first = key.seed % max(len(controls), 1)
        for pixels in _readable(self.config, (*controls[first:], *controls[:first])):
            return scale(pixels, windows)
        raise ImageError(f"plate {key.field.plate} has no control image that can be read")


def plate_windows(config: ScreenConfig, plate: str, fields: Sequence[Field]) -> list[Window]:
    """The windows of a plate's images; those that each image is measured for are without ends.

    Args:
        config: The screen.
        plate: The plate's name.
        fields: The fields that are measured.

    Returns:
        One a stain, or none where each image's type says what becomes 1.

    Raises:
        ImageError: None of these fields can be read, or the table has no window for the plate.
    """
    settings, stains = config.windows, config.images.stains
    if settings.word == "table":
        return WindowTable(settings.table).of(plate, stains)
    windows = settings.templates(stains)
    if not settings.measured(stains):
        return windows
    if settings.over == "controls" and not fields:
        raise ImageError(f"plate {plate} has no control image to measure the windows on")
    try:
        return measure(windows, _readable(config, fields))
    except ImageError as error:
        raise ImageError(f"plate {plate}: {error}") from error


def _readable(config: ScreenConfig, fields: Sequence[Field]) -> Iterator[Pixels]:
    """A damaged control must not fail its whole plate; it is listed as an image of its own."""
    for field in fields:
        try:
            yield read_pixels(field, config.images)
        except (ImageError, OSError):
            continue
