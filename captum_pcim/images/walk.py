"""The files below a folder, and what is passed over there, the same for every command."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

THUMBNAIL = re.compile(r"(?i).*_thumb(?:[0-9a-f-]*|nail)\.\w+|thumbs\.db")

HIDDEN = "hidden"
RESULTS = "results of this package"
OF_RESULTS = (
    ("manifest.json", "maps", "overlays"),  # of explain
    ("table.csv", "table.txt", "maps.png"),  # of compare and demo
    ("done", "failed", "shared", "tmp"),  # of screen
)
ELSEWHERE = "symbolic link to a folder outside: not followed, name the folder that holds both"


def walk(folder: Path, exclude: Path | None = None) -> Iterator[tuple[Path, str]]:
    """List every file below a folder in a fixed order, symbolic links last.

    Symbolic links to folders are followed where they stay inside the folder, never out of it, and
    each folder is read once, by whatever way it is reached first. Hidden folders, such as ``.git``
    and the snapshots of a file server, are not read, nor is the inside of a Zarr store, nor what
    commands of this package wrote: pictures of maps are no images.

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


def find_stores(
    folder: Path, is_store: Callable[[Path], bool], exclude: Path | None = None
) -> Iterator[tuple[Path, str]]:
    """List the folders below a folder that are Zarr stores, by the rules of :func:`walk`.

    Args:
        folder: The folder.
        is_store: Tells a store, which is not searched for others.
        exclude: A folder to leave out.

    Yields:
        A store and why it is passed over, or a link that is.

    Raises:
        OSError: A folder cannot be listed.
    """
    root = folder.resolve()
    seen = {root} if exclude is None else {root, exclude.resolve()}
    yield from _find_stores(folder, root, seen, is_store)


def _find_stores(
    folder: Path, root: Path, seen: set[Path], is_store: Callable[[Path], bool]
) -> Iterator[tuple[Path, str]]:
    for entry in _entries(folder):
        path = folder / entry.name
        if entry.name.startswith(".") or not os.path.isdir(path) or _holds_results(path):
            continue
        if leaves(path, root):
            yield path, ELSEWHERE
        elif path.resolve() not in seen:
            seen.add(path.resolve())
            if is_store(path):
                yield path, ""
            else:
                yield from _find_stores(path, root, seen, is_store)


def leaves(path: Path, root: Path) -> bool:
    """Whether a path below a folder lies outside of it, by a symbolic link."""
    return not path.resolve().is_relative_to(root)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as listed:
        return sorted(listed, key=lambda entry: (entry.is_symlink(), entry.name))


def _walk(folder: Path, root: Path, seen: set[Path]) -> Iterator[tuple[Path, str]]:
    for entry in _entries(folder):
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
    if entry.is_symlink() and leaves(Path(entry.path), root):
        return ELSEWHERE
    if _holds_results(Path(entry.path)):
        return RESULTS
    return "a Zarr store" if entry.name.lower().endswith(".zarr") else ""


def _holds_results(folder: Path) -> bool:
    return any(all((folder / name).exists() for name in names) for names in OF_RESULTS)
