"""A folder of image files as a list of images, one file each or one file a stain."""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from captum_pcim._errors import describe
from captum_pcim.images.read import SUFFIXES
from captum_pcim.images.walk import ELSEWHERE, walk


@dataclass(frozen=True)
class ImageFiles:
    """One image of a folder.

    Attributes:
        name: Path below the folder, with forward slashes; for stains in a file each, the part of
            the path that they share.
        paths: Its files, one, or one a stain in the order of the stains.
        problem: Why the image cannot be read, or None.
        is_image: False for a file that is not meant to be an image.
    """

    name: str
    paths: tuple[Path, ...] = ()
    problem: str | None = None
    is_image: bool = True


def find_images(
    folder: Path,
    stains: Sequence[str] = (),
    exclude: Path | None = None,
    argument: str = "images",
) -> list[ImageFiles]:
    """List the images below a folder, sorted by name, with those that cannot be used and why.

    Symbolic links are followed only where they stay inside the folder; hidden files and folders and
    thumbnails are passed over (:func:`captum_pcim.images.walk.walk`).

    Args:
        folder: The folder; its subfolders are looked through as well.
        stains: Empty when an image is one file. Otherwise the pattern of the file names, such as
            ``"{image}_{stain}.tif"``, and the stains' names in channel order.
        exclude: A folder to leave out.
        argument: What the folder is called in errors.

    Returns:
        One entry an image, and one for each other file.

    Raises:
        ValueError: If there is no such folder, or the pattern does not hold ``{image}`` and
            ``{stain}`` once each, or names no stain.
    """
    if not folder.is_dir():
        raise ValueError(f"{argument}: expected a folder, got {str(folder)!r}")
    match = _stain_pattern(stains) if stains else None
    found = [_checked(path, reason, folder) for path, reason in walk(folder, exclude)]
    if match is None:
        return sorted(found, key=lambda image: image.name)
    return sorted(_group_stains(found, match, stains[1:]), key=lambda image: image.name)


def require_images(found: Sequence[ImageFiles], folder: Path) -> None:
    """See that there is an image.

    Raises:
        ValueError: If there is none; it says what there is instead.
    """
    if not any(image.is_image for image in found):
        instead = f": {passed_over(found)}" if found else f" ({' '.join(SUFFIXES)})"
        raise ValueError(f"images: no images in {str(folder)!r}{instead}")


def passed_over(found: Sequence[ImageFiles]) -> str:
    """How many files are no images, and why one of them is none; empty where there are none."""
    others = [file for file in found if not file.is_image]
    if not others:
        return ""
    example = f"{others[0].name!r}: {others[0].problem}"
    return f"files that are no images: {len(others)}, for example {example}"


def _checked(path: Path, reason: str, folder: Path) -> ImageFiles:
    name = path.relative_to(folder).as_posix()
    if reason:
        return ImageFiles(name, problem=reason, is_image=reason == ELSEWHERE)
    if path.suffix.lower() not in SUFFIXES:
        known = " ".join(SUFFIXES)
        return ImageFiles(name, problem=f"not the name of an image ({known})", is_image=False)
    try:
        inside = path.resolve(strict=True).is_relative_to(folder.resolve())
        regular = stat.S_ISREG(path.stat().st_mode)
    except (OSError, RuntimeError) as error:
        return ImageFiles(name, problem=f"cannot be read: {describe(error)}")
    if not inside:
        return ImageFiles(name, problem="symbolic link out of the folder: not followed")
    if not regular:
        return ImageFiles(name, problem="not a regular file")
    return ImageFiles(name, (path,))


def _stain_pattern(stains: Sequence[str]) -> re.Pattern[str]:
    pattern, names = stains[0], stains[1:]
    if pattern.count("{image}") != 1 or pattern.count("{stain}") != 1 or "/" in pattern:
        raise ValueError(
            "stains: the pattern of the file names must hold {image} and {stain} once each and no "
            f"folder, as in '{{image}}_{{stain}}.tif', got {pattern!r}"
        )
    if not names or len(set(names)) != len(names):
        raise ValueError(f"stains: expected different names after the pattern, got {list(names)}")
    expression = re.escape(pattern)
    expression = expression.replace(re.escape("{image}"), "(?P<image>.+)")
    alternatives = "|".join(re.escape(name) for name in names)
    expression = expression.replace(re.escape("{stain}"), f"(?P<stain>{alternatives})")
    return re.compile(expression, re.DOTALL)


def _group_stains(
    found: Sequence[ImageFiles], match: re.Pattern[str], names: Sequence[str]
) -> list[ImageFiles]:
    groups: dict[str, dict[str, ImageFiles]] = {}
    others = []
    for file in found:
        folder, slash, base = file.name.rpartition("/")
        parts = match.fullmatch(base)
        if parts is None:
            problem = file.problem or "does not match the stains' pattern"
            others.append(ImageFiles(file.name, problem=problem, is_image=False))
        else:
            groups.setdefault(folder + slash + parts["image"], {})[parts["stain"]] = file
    return others + [_joined(name, group, names) for name, group in groups.items()]


def _joined(name: str, group: dict[str, ImageFiles], names: Sequence[str]) -> ImageFiles:
    missing = [stain for stain in names if stain not in group]
    if missing:
        return ImageFiles(name, problem=f"no file for stain {', '.join(missing)}")
    problems = [f"{stain}: {group[stain].problem}" for stain in names if group[stain].problem]
    if problems:
        return ImageFiles(name, problem="; ".join(problems))
    return ImageFiles(name, tuple(path for stain in names for path in group[stain].paths))
