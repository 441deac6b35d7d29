"""The options about intensities that ``explain`` and ``compare`` share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from fnmatch import fnmatchcase
from typing import Any

from captum_pcim.images.folders import ImageFiles
from captum_pcim.images.intensities import (
    IMAGES_MEASURED,
    Over,
    Scale,
    applied,
    evenly,
    in_words,
    measure,
    templates,
)
from captum_pcim.images.read import read_image
from captum_pcim.images.stack import ImageError, Pixels
from captum_pcim.images.windows import Window, WindowTable


@dataclass(frozen=True)
class Intensities:
    """What the options say of the images' intensities.

    Args:
        scale: A word of :mod:`captum_pcim.images.intensities`.
        over: What windows are measured over.
        windows: One for all stains or one a stain, those to be measured without their ends; none
            where each image's type says what becomes 1.
        controls: Pattern of the names of control images.
    """

    scale: Scale
    over: Over
    windows: Sequence[Window]
    controls: str | None = None

    @classmethod
    def of(cls, args: argparse.Namespace) -> Intensities:
        """Read the options.

        Raises:
            ValueError: If they contradict each other.
        """
        given = [Window.parse(*ends) for ends in args.window]
        scale: Scale = args.scale or _understood(args)
        for option, words in _SERVES.items():
            if getattr(args, option) and scale not in words:
                raise ValueError(
                    f"{option}: expected with --scale {' or '.join(words)}, got {scale!r}"
                )
        if scale in ("fixed", "table") and not (given or args.table):
            option = "table" if scale == "table" else "window"
            raise ValueError(f"scale: {scale!r} expects --{option}, got none")
        if (
            given
            and scale == "percentiles"
            and (args.percentiles or not all(window.percent for window in given))
        ):
            raise ValueError(
                "window: expected ends in percent, and no --percentiles beside them, with --scale "
                f"percentiles, got {args.window}"
            )
        if scale == "table":
            windows = _of_table(args)
        else:
            windows = templates(scale, args.percentiles or (), given or [None])
        _require_use(args, scale, windows)
        over: Over = args.over or ("image" if any(w.percent for w in given) else "plate")
        return cls(scale, over, windows, args.controls)

    @property
    def measured(self) -> bool:
        """Whether anything is measured over more than the image itself."""
        return self.over != "image" and any(window.measured for window in self.windows)

    def settings(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        return {
            "scale": self.scale,
            "over": self.over if any(window.measured for window in self.windows) else None,
            "controls": self.controls if self.measured and self.over == "controls" else None,
            "window": [list(astuple(window)) for window in self.windows],
        }

    def told(self) -> str:
        """What is done, for the tables."""
        return in_words(self.scale, self.windows, self.over)

    def on(self, images: Sequence[ImageFiles], args: argparse.Namespace) -> Sequence[Window]:
        """The windows of a folder's images, measured on some of them if need be.

        Says so where the images leave most of their type's range unused.

        Raises:
            ValueError: If no control is among the images, or none of them can be read.
        """
        usable = [image for image in images if image.is_image and image.problem is None]
        if self.scale == "type":
            _tell_unused_range(usable, args)
        if not self.measured:
            return self.windows
        if self.over == "controls":
            pattern = self.controls or ""
            usable = [image for image in usable if fnmatchcase(image.name, pattern)]
            if not usable:
                raise ValueError(f"controls: no image is named like {pattern!r}")
        return measure(self.windows, _readable(evenly(usable, IMAGES_MEASURED), args))

    def applied(self, pixels: Pixels, windows: Sequence[Window]) -> list[Window]:
        """As :func:`captum_pcim.images.intensities.applied`, but a table serves its stains alone.

        Raises:
            ImageError: The windows do not fit the image.
        """
        if self.scale == "table" and len(windows) != len(pixels):
            raise ImageError(
                f"table: expected windows of {len(pixels)} stains, as the image has, got "
                f"{len(windows)}"
            )
        return applied(pixels, windows)


def _require_use(args: argparse.Namespace, scale: Scale, windows: Sequence[Window]) -> None:
    """Refuse to pass over what was said of measuring."""
    if args.over and not any(window.measured for window in windows):
        raise ValueError(f"over: expected with --scale percentiles or zscore, got {scale!r}")
    if args.over == "controls" and not args.controls:
        raise ValueError("over: 'controls' expects --controls PATTERN, got none")
    if args.controls and args.over != "controls":
        raise ValueError(f"controls: expected with --over controls, got {args.over or 'none'}")


_SERVES: dict[str, tuple[Scale, ...]] = {
    "window": ("fixed", "percentiles"),
    "percentiles": ("percentiles",),
    "table": ("table",),
}


def _understood(args: argparse.Namespace) -> Scale:
    """The word that the other options mean where it was not said."""
    if args.table:
        return "table"
    if args.percentiles:
        return "percentiles"
    return "fixed" if args.window else "type"


def _of_table(args: argparse.Namespace) -> list[Window]:
    table = WindowTable(args.table)
    plates = list(dict.fromkeys(plate for plate, _ in table.windows))
    if len(plates) != 1:
        raise ValueError(f"table: expected windows of one plate, got those of {plates}")
    stains = args.stains[1:] or [stain for _, stain in table.windows]
    return table.of(plates[0], stains)


def _tell_unused_range(images: Sequence[ImageFiles], args: argparse.Namespace) -> None:
    """Cameras of 12 bits fill a sixteenth of 16: a network sees all but black images."""
    brightest = largest = 0
    for pixels in _readable(evenly(images, IMAGES_MEASURED), args):
        if pixels.dtype.kind in "iu" and pixels.dtype.itemsize > 1:
            brightest = max(brightest, int(pixels.max()))
            largest = max(largest, 2 ** (8 * pixels.dtype.itemsize) - 1)
    if 0 < brightest <= largest // 4:
        print(
            f"captum-pcim: the brightest pixel is {brightest} of {largest}, so the "
            f"network sees at most {brightest / largest:.3g}. If it was trained on other values, "
            f"say which: --scale fixed --window 0 {brightest}, or another --scale",
            file=sys.stderr,
        )


def _readable(images: Sequence[ImageFiles], args: argparse.Namespace) -> Iterator[Pixels]:
    """A damaged image fails by itself, not all that are measured with it."""
    for image in images:
        try:
            yield read_image(image.paths, args.z, args.t, one_stain=bool(args.stains))
        except (ImageError, OSError):
            continue
