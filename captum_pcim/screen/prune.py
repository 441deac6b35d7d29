"""Removing what no configuration lists any more: results, failures, windows and controls."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from captum_pcim.screen.config import ConfigError, ScreenConfig
from captum_pcim.screen.identity import make_plan
from captum_pcim.screen.sources import survey_screen
from captum_pcim.screen.store import Store


@dataclass(frozen=True)
class Pruned:
    """What was removed.

    Args:
        results: Results of images.
        size: Of all that was removed, in bytes.
    """

    results: int
    size: int


def prune(configs: Sequence[ScreenConfig]) -> Pruned:
    """Removes from a results folder what none of its configurations lists.

    The images must be there: those of a disk that is not mounted would count as removed, so it is
    an error if a configuration finds none.

    Args:
        configs: All configurations whose results are to be kept; they share one results folder.

    Raises:
        ConfigError: Their results folders differ, or one finds no image.
    """
    folders = list(dict.fromkeys(os.path.realpath(config.output.path) for config in configs))
    if len(folders) > 1:
        raise ConfigError(f"output.path: expected one results folder of all, got {folders}")
    store = Store(configs[0].output.path)
    keys, shared = _listed(configs)
    results, size = 0, 0
    for path in _unlisted(store.path, keys, shared):
        size += _size(path)
        results += path.is_dir()
        store.remove(path)
    return Pruned(results, size)


def _listed(configs: Sequence[ScreenConfig]) -> tuple[set[str], set[str]]:
    """The keys of all images, and the names of the files that are shared by several."""
    keys: set[str] = set()
    shared: set[str] = set()
    for config in configs:
        plan = make_plan(config, survey_screen(config).fields, (0, 1))
        keys |= {key.sha for key in plan.keys}
        shared |= {f"{plate.sha}.npz" for plate in plan.plates.values()}
        shared.add(f"configuration-{config.digest()}.json")
    return keys, shared


def _unlisted(folder: Path, keys: set[str], shared: set[str]) -> Iterator[Path]:
    yield from (path for path in folder.glob("done/*/*") if path.name not in keys)
    yield from (path for path in folder.glob("failed/*.json") if path.stem not in keys)
    yield from (path for path in folder.glob("shared/*") if path.name not in shared)


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(file.stat().st_size for file in files)
