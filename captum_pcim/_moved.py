"""Modules under the names that they had before the package got its rooms."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    f"captum_pcim.{old}": f"captum_pcim.{new}"
    for old, new in {
        "adapters": "classifiers.adapters",
        "blending": "core.blending",
        "compare": "comparison.compare",
        "data": "synthetic",
        "data.brightfield": "synthetic.brightfield",
        "data.cnn": "synthetic.cnn",
        "data.fluorescence": "synthetic.fluorescence",
        "data.folders": "images.folders",
        "data.images": "images.read",
        "data.planted": "synthetic.planted",
        "data.synthetic": "synthetic.images",
        "diagnostics": "core.diagnostics",
        "gradients": "core.gradients",
        "isolation": "core.channels",
        "method": "comparison.methods",
        "methods": "comparison.methods",
        "models": "classifiers.files",
        "objective": "core.objective",
        "panel": "comparison.metrics",
        "references": "core.references",
        "scores": "core.scores",
        "screen.objects": "cells.objects",
        "smoothing": "core.smoothing",
        "trivial": "comparison.trivial",
    }.items()
}


class _MovedModules(MetaPathFinder, Loader):
    """Imports the module of the new name in place of the old one."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        old, new = module.__name__, MOVED[module.__name__]
        warnings.warn(f"{old} has moved to {new}", DeprecationWarning, stacklevel=2)
        sys.modules[old] = importlib.import_module(new)


def install() -> None:
    """Let old names be imported, with a DeprecationWarning that tells the new one."""
    # First of all, or a file of a room would be found, and loaded again, under the old name.
    sys.meta_path.insert(0, _MovedModules())
