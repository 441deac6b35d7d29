"""The files below a folder, and what is passed over there, the same for every command."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

THUMBNAIL = re.compile(r"(?i).*_thumb(?:[0-9a-f-]*|nail)\.\w+|thumbs\.db")

HIDDEN = "hidden"
ELSEWHERE = "symbolic link to a folder outside: not followed, name the folder that holds both"


def walk(folder: Path, exclude: Path | None = None) -> Iterator[tuple[Path, str]]:
    """List every file below a folder in a fixed order, symbolic links last.

    Symbolic links to folders are followed where they stay inside the folder, never out of it, and
    each folder is read once, by whatever way it is reached first. Hidden folders, such as ``.git``
    and the snapshots of a file server, are not read, nor is the inside of a Zarr store.

    Args:
        folder: The folder.
        exclude: A folder to leave out.

    Yields:
        A path and why it is passed over, empty for a file that may be read.

    Raises:
        OSError: A folder cannot be listed.
    """
    root = folder.resolve()
    seen = {root} if exclude is None else {root, exclude.resolve()}
    yield from _walk(folder, root, seen)


def _walk(folder: Path, root: Path, seen: set[Path]) -> Iterator[tuple[Path, str]]:
    with os.scandir(folder) as listed:
        entries = sorted(listed, key=lambda entry: (entry.is_symlink(), entry.name))
    for entry in entries:
        path = folder / entry.name
        reason = "" if entry.is_file(follow_symlinks=False) else _reason(entry, root)
        if _clutter(entry.name) or reason:
            yield path, _clutter(entry.name) or reason
        elif not os.path.isdir(path):
            yield path, ""
        elif path.resolve() not in seen:
            seen.add(path.resolve())
            yield from _walk(path, root, seen)


def _clutter(name: str) -> str:
    """Why a name is never an image: AppleDouble files begin with a dot, too."""
    if name.startswith("."):
        return HIDDEN
    return "thumbnail" if THUMBNAIL.fullmatch(name) else ""


def _reason(entry: os.DirEntry[str], root: Path) -> str:
    if not os.path.isdir(entry.path):
        return ""
    if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(root):
        return ELSEWHERE
    return "a Zarr store" if entry.name.lower().endswith(".zarr") else ""
