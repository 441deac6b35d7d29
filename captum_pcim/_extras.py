"""Optional packages: imported where they are used, or a word on how to have them."""

from __future__ import annotations

import importlib
from typing import Any


def needed(module: str, what: str, extra: str) -> Any:
    """Import a module of an optional package.

    Args:
        module: Its full name.
        what: The beginning of the error, such as ``"reading TIFF files needs"``.
        extra: The extra of this package that brings it.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(f"{what} {package}: pip install 'captum-pcim[{extra}]'") from error
